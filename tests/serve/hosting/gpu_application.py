"""A profile's hosted models as an application, with scripted engines on the real bundles, queues and scaling."""

import re
from typing import Any, cast

import ray
from ray import serve
from ray.serve import Application, Deployment

from coe_ray.profile.models import VllmModel
from coe_ray.profile.profile import Profile, load_profile
from coe_ray.serve.app import AppArgs
from coe_ray.serve.hosting.capacity import hardest_first, require_capacity
from coe_ray.serve.hosting.vllm import llm_config, model_deployment
from tests.serve.hosting.gpu_engines import INSIDE_THE_REAL_ONE, PacedEngine


@serve.deployment(name="door", ray_actor_options={"num_cpus": 0})
class Ingress:
    """What an application's other deployments stand behind; these are asked directly."""

    def __init__(self, engines: dict[str, Any]) -> None:
        self._engines = engines


def build(args: AppArgs) -> Application:
    """Refused like the real application where the cluster has no room."""
    profile = load_profile(args.profile)
    require_capacity(profile)
    return cast(Deployment, Ingress).bind(engines(profile))


def engines(profile: Profile) -> dict[str, Application]:
    hosted = {name: model for name, model in profile.models.items() if isinstance(model, VllmModel)}
    return {name: _engine(name, hosted[name]) for name in hardest_first(hosted)}


def _engine(name: str, model: VllmModel) -> Application:
    """The real deployment where the profile puts an engine into it; else a light class with all of its options."""
    config = llm_config(name, model)
    real = model_deployment(name, config)
    if INSIDE_THE_REAL_ONE.items() <= model.environment.items():
        return real.bind(llm_config=config)
    return real.options(func_or_class=PacedEngine, ray_actor_options={"num_cpus": 1}).bind(name)


def homes() -> dict[str, list[list[str]]]:
    """For each hosted model, for each replica, the names of the nodes that its bundles lie on."""
    names = {node["NodeID"]: node["Labels"].get("name", "head") for node in ray.nodes()}
    found: dict[str, list[list[str]]] = {}
    for group in ray.util.placement_group_table().values():
        replica = re.search(r"model-([\w.-]+?)[#_]", group["name"])
        if replica and group["state"] == "CREATED":
            bundles = sorted(group["bundles_to_node_id"].items())
            found.setdefault(replica[1], []).append([names[node] for _, node in bundles])
    return {name: sorted(each) for name, each in sorted(found.items())}


def running() -> dict[str, int]:
    """How many replicas of each hosted model take requests."""
    deployments = serve.status().applications["default"].deployments
    return {
        name.removeprefix("model-"): each.replica_states.get("RUNNING", 0)
        for name, each in deployments.items()
        if name.startswith("model-")
    }
