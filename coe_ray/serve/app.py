"""The application builder, the only `.bind()`: `serve run coe_ray.serve.app:build profile=local-cpu`.

Nothing is bound at import. (No postponed annotations here: Serve needs the argument's class itself.)
"""

import hashlib
import logging
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.serve import Application, Deployment
from ray.serve.config import HTTPOptions
from ray.serve.schema import LoggingConfig

from coe_ray.cluster.health import APPLICATION
from coe_ray.cluster.ray_internals import is_serve_running, serve_host, with_version
from coe_ray.core.api_keys import read_keys
from coe_ray.core.ports import require_free_port
from coe_ray.llm.factory import make_local_models
from coe_ray.profile.fingerprint import hash_source
from coe_ray.profile.models import VllmModel
from coe_ray.profile.profile import load_profile
from coe_ray.routing.pipeline import check_leaderboard, load_leaderboard
from coe_ray.serve.auth.loopback import require_keys_or_loopback
from coe_ray.serve.hosting.capacity import hardest_first, require_capacity
from coe_ray.serve.hosting.retriever import RetrieverDeployment
from coe_ray.serve.ingress import Ingress
from coe_ray.serve.snapshot.snapshot import apply_change

log = logging.getLogger("ray.serve")


class AppArgs(BaseModel):
    """Arguments of `serve run` and of a declarative file."""

    model_config = ConfigDict(extra="forbid")
    profile: str = "local-cpu"
    study: bool = False
    """Host what the profile's study needs, too: `coe-ray reproduce` does, an endpoint does not."""
    change: dict[str, Any] = {}
    """What is changed of the profile while it is served: the ingress's first `user_config`, see `coe-ray change`."""


def build(args: AppArgs) -> Application:
    """Ingress, retriever and a deployment for each hosted model. Raises `CoeError` before anything is deployed.

    Each deployment's code version follows from its settings, so that `serve run` again restarts only what is different
    (`serve deploy` builds nothing where import path and arguments are the same).
    """
    profile = load_profile(args.profile)
    profile = profile if args.study else profile.without_study
    if is_serve_running():  # `serve run` builds before: the ingress looks again
        require_keys_or_loopback(profile.access, serve_host())
    for each in (profile, apply_change(profile, args.change)):
        if each.keys_file is not None:
            read_keys(each.keys_file)
        make_local_models(each)  # a missing key or import is said here, not by a replica that restarts for ever
        if (leaderboard := load_leaderboard(each)) is not None:
            check_leaderboard(leaderboard, each)
    # Our own line for each request says more than Serve's.
    logs = LoggingConfig(encoding="JSON", enable_access_log=False)
    retriever = _versioned(RetrieverDeployment, profile.retrieval.model_dump(mode="json"), str(profile.index_folder))
    ingress = _versioned(Ingress, profile.model_dump(mode="json"))
    hosted = {name: model for name, model in profile.models.items() if isinstance(model, VllmModel)}
    warnings = require_capacity(profile)
    return ingress.options(user_config=args.change, logging_config=logs).bind(
        profile, retriever.options(logging_config=logs).bind(profile), _hosted(hosted, logs), warnings
    )


def deploy(args: AppArgs, host: str | None = None, port: int | None = None) -> None:
    """Serve the profile on the connected Ray; returns when it answers. Raises `CoeError`, as `build` does.

    Where no Serve runs yet, it is started to listen on `host` (by default Serve's own; without keys loopback) and
    `port`. A port that is taken is a `ConfigError` that names it.
    """
    if not is_serve_running():
        loopback = load_profile(args.profile).access.keys is False
        given = {"host": host or ("127.0.0.1" if loopback else None), "port": port}
        options = HTTPOptions(**{name: value for name, value in given.items() if value is not None})
        require_free_port(options.host or "0.0.0.0", options.port)  # noqa: S104 - where Serve listens on all, so is this
        serve.start(http_options=options, logging_config=LoggingConfig(enable_access_log=False))
    serve.run(build(args), name=APPLICATION)


def _versioned(deployment: object, *settings: object) -> Deployment:
    parts = [hash_source("coe_ray", files) for files in ("*.py", "serve/console/static/*")]
    code = orjson.dumps([*parts, *settings], option=orjson.OPT_SORT_KEYS)
    return with_version(deployment, hashlib.sha256(code).hexdigest()[:12])


def _hosted(models: dict[str, VllmModel], logs: LoggingConfig) -> dict[str, Application]:
    if not models:
        return {}
    from coe_ray.serve.hosting.vllm import llm_config, model_deployment  # vLLM, which API-only installs do not have

    applications = {}
    for name in hardest_first(models):
        config = llm_config(name, models[name])
        settings = models[name].model_dump(mode="json", exclude={"scaling"})
        deployment = _versioned(model_deployment(name, config), settings).options(logging_config=logs)
        applications[name] = deployment.bind(llm_config=config)
    return applications
