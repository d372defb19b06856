"""CoE-Ops on Ray: a DevOps question goes in; its task is named, a leaderboard names the expert, the expert answers."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coe_ray.bench.datasets.load import load_benchmark
    from coe_ray.profile.profile import load_profile
    from coe_ray.routing.leaderboard import Leaderboard
    from coe_ray.routing.pipeline import CompositionOfExperts

__all__ = ["CompositionOfExperts", "Leaderboard", "load_benchmark", "load_profile"]

_HOME = {
    "CompositionOfExperts": "coe_ray.routing.pipeline",
    "Leaderboard": "coe_ray.routing.leaderboard",
    "load_benchmark": "coe_ray.bench.datasets.load",
    "load_profile": "coe_ray.profile.profile",
}


if not TYPE_CHECKING:  # or every name would be one of ours

    def __getattr__(name: str) -> Any:
        """Imported when it is asked for: what stands behind takes seconds, which `--help` of a job need not."""
        if name in _HOME:
            return getattr(import_module(_HOME[name]), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
