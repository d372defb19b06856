"""Profiles of hosted models and the resources of nodes, as placement checks read them."""

from typing import Any

from coe_ray.profile.models import Scaling, VllmModel, Weights
from coe_ray.profile.profile import Profile


def hosted_model(tensor: int = 1, pipeline: int = 1, replicas: int = 1, **options: Any) -> VllmModel:
    engine = {"tensor_parallel_size": tensor, "pipeline_parallel_size": pipeline}
    scaling = Scaling(min_replicas=replicas, max_replicas=max(1, replicas))
    return VllmModel(kind="vllm", weights=Weights(hub="some/model"), engine=engine, scaling=scaling, **options)


def profile_of(*models: VllmModel) -> Profile:
    """Models `m0`, `m1`, …; valid only in what placement reads."""
    named = {f"m{number}": model for number, model in enumerate(models)}
    return Profile.model_construct(models=named, file_name="mine.yaml", folder="")


def node_resources(gpus: float = 0, cpus: float = 16, **others: float) -> dict[str, float]:
    always = {"memory": 1e10, "object_store_memory": 1e9, "node:192.0.2.1": 1.0}
    return {"CPU": cpus, **({"GPU": gpus} if gpus else {}), **always, **others}
