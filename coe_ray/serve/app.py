"""The application builder, the only `.bind()`: `serve run coe_ray.serve.app:build profile=local-cpu`.

Nothing is bound at import. (No postponed annotations here: Serve needs the argument's class itself.)
"""

import hashlib
import logging
import os
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.serve import Application, Deployment
from ray.serve.schema import LoggingConfig

from coe_ray.cluster.health import APPLICATION
from coe_ray.cluster.ray_internals import is_serve_running, serve_host, with_version
from coe_ray.core.api_keys import read_keys
from coe_ray.llm.factory import make_local_models
from coe_ray.profile.fingerprint import hash_source
from coe_ray.profile.models import VllmModel
from coe_ray.profile.profile import load_profile
from coe_ray.routing.pipeline import check_leaderboard, load_leaderboard
from coe_ray.serve.auth.header_filter import RAY_ENVIRONMENT, WANTED_ENVIRONMENT
from coe_ray.serve.auth.loopback import require_keys_or_loopback
from coe_ray.serve.hosting.capacity import require_capacity
from coe_ray.serve.hosting.feasibility import hardest_first
from coe_ray.serve.hosting.retriever import RetrieverDeployment
from coe_ray.serve.ingress import Ingress
from coe_ray.serve.snapshot.snapshot import apply_change

log = logging.getLogger("ray.serve")


class AppArgs(BaseModel):
    """Arguments of `serve run` and of a declarative file."""

    model_config = ConfigDict(extra="forbid")
    profile: str = "local-cpu"
    study: bool = False
    """Host what the profile's study needs, too: jobs/reproduce.py does, an endpoint does not."""
    change: dict[str, Any] = {}
    """What is changed of the profile while it is served: the ingress's first `user_config`, see jobs/change.py."""


def build(args: AppArgs) -> Application:
    """Ingress, retriever and a deployment for each hosted model. Raises `CoeError` before anything is deployed.

    Each deployment's code version follows from its settings, so that `serve run` again restarts only what is different
    (`serve deploy` builds nothing where import path and arguments are the same).
    """
    profile = load_profile(args.profile)
    profile = profile if args.study else profile.served
    if is_serve_running():  # `serve run` builds before: the ingress looks again
        require_keys_or_loopback(profile.access, serve_host())
    for each in (profile, apply_change(profile, args.change)):
        if each.keys_file is not None:
            read_keys(each.keys_file)
        make_local_models(each)  # a missing key or import is said here, not by a replica that restarts for ever
        if (leaderboard := load_leaderboard(each)) is not None:
            check_leaderboard(leaderboard, each)
    retriever = _versioned(RetrieverDeployment, profile.retrieval.model_dump(mode="json"), str(profile.index_folder))
    ingress = _versioned(Ingress, profile.model_dump(mode="json"))
    hosted = {name: model for name, model in profile.models.items() if isinstance(model, VllmModel)}
    warnings = environment_warnings() + require_capacity(profile)
    # Our own line for each request says more than Serve's.
    logs = LoggingConfig(encoding="JSON", enable_access_log=False)
    return ingress.options(user_config=args.change, logging_config=logs).bind(
        profile, retriever.bind(profile), _hosted(hosted), warnings
    )


def deploy(args: AppArgs) -> None:
    """Serve the profile on this Ray for a job; returns when it answers. Raises `CoeError` as `build` does.

    Where no Serve runs yet, one that lets everybody in listens on loopback only: a job asks through handles.
    """
    if load_profile(args.profile).access.keys is False and not is_serve_running():
        serve.start(http_options={"host": "127.0.0.1"})
    serve.run(build(args), name=APPLICATION)


def _versioned(deployment: object, *settings: object) -> Deployment:
    parts = [hash_source("coe_ray", files) for files in ("*.py", "serve/console/static/*")]
    code = orjson.dumps([*parts, *settings], option=orjson.OPT_SORT_KEYS)
    return with_version(deployment, hashlib.sha256(code).hexdigest()[:12])


def _hosted(models: dict[str, VllmModel]) -> dict[str, Application]:
    if not models:
        return {}
    from coe_ray.serve.hosting.vllm import llm_config, model_deployment  # vLLM, which API-only installs do not have

    applications = {}
    for name in hardest_first(models):
        config = llm_config(name, models[name])
        settings = models[name].model_dump(mode="json", exclude={"scaling"})
        applications[name] = _versioned(model_deployment(name, config), settings).bind(llm_config=config)
    return applications


def environment_warnings() -> list[str]:
    """What was not set before Ray started, and is too late to set now."""
    slow = [name for name, value in WANTED_ENVIRONMENT.items() if os.environ.get(name) != value]
    open_to_abuse = [name for name in RAY_ENVIRONMENT if name not in os.environ]
    warnings = [f"{name}=1 is not set; set it before `ray start` for a faster endpoint" for name in slow]
    warnings += [f"{name} is not set; set it before `ray start`, see docs/security.md" for name in open_to_abuse]
    for warning in warnings:
        log.warning(warning)
    return warnings
