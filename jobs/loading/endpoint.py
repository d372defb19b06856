"""The endpoint under comparison: its profile, its key, and it and a bare pass-through on one Serve."""

import json
from pathlib import Path
from typing import Any, cast

from coe_ray.core.api_keys import add_key
from coe_ray.profile.profile import load_profile
from coe_ray.profile.tasks import TASK_SETS
from coe_ray.routing.leaderboard import Leaderboard
from jobs.loading.peers import MODEL

EXPERTS = ("first", "second")
TASKS = ("devops-eval-a", "devops-eval-b")


def write_profile(folder: Path, upstream_url: str) -> Path:
    """Write a profile of two experts at the upstream; the neighbours in the sample name the task, no LLM is called.

    All else is as shipped: keys, limits, logs and metrics are on.
    """
    best = {task.name: place % 2 for place, task in enumerate(_all_tasks())}
    scores = [
        (name, task, 9 - 4 * (place != at), 10) for task, at in best.items() for place, name in enumerate(EXPERTS)
    ]
    Leaderboard.from_scores(scores).save(folder / "leaderboard.json")
    api = {"kind": "api", "base_url": upstream_url, "model": MODEL, "max_concurrency": 256}
    # Were it called after all, its failures would be in the figures.
    never = {"kind": "scripted", "rules": [{"pattern": ".", "reply": "not to be called", "fails": True}]}
    profile: dict[str, Any] = {
        "tasks": list(TASKS),
        "models": {"upstream": api, "never": never},
        "experts": {name: {"model": "upstream", "prompt": "direct"} for name in EXPERTS},
        "classifier": {"model": "never", "decoding": "free", "k": 4, "skip_llm_above": 0.0},
        "retrieval": {
            "encoder": load_profile("local-cpu").retrieval.encoder.model_dump(mode="json"),
            "examples": "sample",
            "index": "index",
        },
        "leaderboard": {"path": "leaderboard.json"},
        "access": {"keys": "keys.json"},
    }
    path = folder / "compared.yaml"
    path.write_text(json.dumps(profile, indent=2), "utf-8")  # JSON is YAML
    return path


def _all_tasks() -> list[Any]:
    return [task for name in TASKS for task in TASK_SETS[name]]


def make_key(folder: Path) -> str:
    """Make the endpoint's one key, with the default limits."""
    return add_key(folder / "keys.json", "compare")


def deploy_both(profile: Path, upstream_url: str, port: int) -> tuple[str, str]:
    """Deploy the endpoint and the bare pass-through on the running Ray; returns their base URLs when both answer.

    Raises `CoeError` for a profile that cannot be served.
    """
    from ray import serve
    from ray.serve import Deployment

    from coe_ray.serve.app import AppArgs, deploy
    from jobs.loading.passthrough import PassThrough

    serve.start(http_options={"host": "127.0.0.1", "port": port})
    deploy(AppArgs(profile=str(profile)))
    bare = cast(Deployment, PassThrough)  # mypy sees no class decorator
    serve.run(bare.bind(upstream_url), name="bare", route_prefix="/bare")
    return f"http://127.0.0.1:{port}/v1", f"http://127.0.0.1:{port}/bare"
