"""CoE-Ops on Ray: a DevOps question goes in; its task is named, a leaderboard names the expert, the expert answers."""

from coe_ray.bench.datasets import load_benchmark
from coe_ray.config import load_profile
from coe_ray.leaderboard import Leaderboard
from coe_ray.pipeline import CompositionOfExperts

__all__ = ["CompositionOfExperts", "Leaderboard", "load_benchmark", "load_profile"]
