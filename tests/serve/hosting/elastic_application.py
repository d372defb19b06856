"""The endpoint over two hosted experts that grow and shrink, and a third whose queue is soon full."""

from pathlib import Path
from typing import Any, cast

from ray import serve
from ray.serve import Application, Deployment

from coe_ray.profile.profile import load_profile
from coe_ray.routing.leaderboard import Leaderboard
from coe_ray.serve.app import AppArgs
from coe_ray.serve.ingress import Ingress
from tests.serve.hosting.gpu_application import engines
from tests.support.profiles import NO_ENCODER, hosted, rule, scripted, write_profile

TASKS = ("alpha", "beta")
SCALING = {"max_replicas": 3, "target_ongoing_requests": 2, "max_ongoing_requests": 4}
SOON = {"upscale_delay_s": 1, "downscale_delay_s": 3}
NARROW = {"max_replicas": 1, "target_ongoing_requests": 1, "max_ongoing_requests": 1, "max_queued_requests": 2}


def write_world(folder: Path) -> Path:
    """Profile and leaderboard; each task's name is its best expert's. Returns the profile's path."""
    Leaderboard.from_scores(
        (expert, task, 9 if expert == task else 1, 10) for expert in (*TASKS, "narrow") for task in TASKS
    ).save(folder / "leaderboard.json")
    content = {
        "tasks": [{"name": task, "description": f"about {task}"} for task in TASKS],
        "models": {
            "alpha": _hosted(SCALING | SOON | {"min_replicas": 1}),
            "beta": _hosted(SCALING | SOON | {"min_replicas": 0}),
            "narrow": _hosted(NARROW | {"min_replicas": 1}),
            "sorter": scripted(*[rule(f"Question: a case of {task}", f"**Task: {task}**") for task in TASKS]),
        },
        "experts": {name: {"model": name} for name in (*TASKS, "narrow")},
        "classifier": {"model": "sorter", "decoding": "free", "k": 0},
        "retrieval": {"encoder": NO_ENCODER},
        "leaderboard": {"path": "leaderboard.json"},
        "access": {"keys": False},
    }
    return write_profile(folder / "elastic.yaml", content)


def _hosted(scaling: dict[str, Any]) -> dict[str, Any]:
    return hosted(bundle={"GPU": 0.25, "CPU": 0.5}) | {"scaling": scaling}


@serve.deployment(name="retriever", ray_actor_options={"num_cpus": 0})
class NoRetriever:
    """Nothing is retrieved here, but the ingress asks whether it is well."""

    async def check_health(self) -> None:
        """Always."""


def build(args: AppArgs) -> Application:
    profile = load_profile(args.profile)
    return cast(Deployment, Ingress).bind(profile, cast(Deployment, NoRetriever).bind(), engines(profile), [])
