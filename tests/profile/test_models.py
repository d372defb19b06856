"""Models of a profile: parameters of an endpoint, strategies of hosted models, and what no engine could run."""

from typing import Any

import pytest
from pydantic import ValidationError

from coe_ray.profile.models import ApiModel, VllmModel


def hosted(**changes: Any) -> VllmModel:
    return VllmModel.model_validate({"kind": "vllm", "weights": {"hub": "some/model"}} | changes)


def test_strategy_follows_from_the_sizes() -> None:
    assert hosted(engine={"tensor_parallel_size": 4}).placement_strategy == "STRICT_PACK"
    assert hosted(engine={"pipeline_parallel_size": 2}).placement_strategy == "PACK"
    assert hosted(engine={"pipeline_parallel_size": 2}, strategy="SPREAD").placement_strategy == "SPREAD"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bundle": {"GPU": 2}}, "one GPU at most"),
        ({"bundle": {"GPU": 0.5}, "engine": {"tensor_parallel_size": 2}}, "a whole GPU each"),
        ({"bundle": {"GPU": 0.5}, "engine": {"gpu_memory_utilization": 0.9}}, "part of the card"),
        ({"bundle": {"CPU": 1}, "accelerator": "L4"}, "bundle has no GPU"),
        ({"bundle": {"GPU": 0}}, "names no resource"),
        ({"bundle": {"GPU": -1}}, "greater than or equal to 0"),
        ({"engine": {"gpu_memory_utilization": 90}}, "at most 1"),
        ({"engine": {"tensor_parallel_size": True}}, "whole number"),
        ({"engine": {"data_parallel_size": 2}}, "max_replicas"),
        ({"scaling": {"max_queued_requests": 0}}, "greater than or equal to 1"),
        ({"scaling": {"downscale_delay_s": -1}}, "greater than or equal to 0"),
    ],
)
def test_what_no_engine_could_run_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        hosted(**changes)


def endpoint(parameters: object) -> ApiModel:
    content = {"kind": "api", "base_url": "https://host.example/v1", "model": "m", "parameters": parameters}
    return ApiModel.model_validate(content)


def test_parameters_of_an_endpoint_are_renamed_or_switched_off() -> None:
    renamed = {"max_tokens": "max_completion_tokens", "temperature": None}
    assert endpoint(renamed).parameters == renamed
    assert endpoint({}).parameters == {}


@pytest.mark.parametrize("parameters", [{"temperature": 1}, {"temperature": False}, ["temperature"], "temperature"])
def test_a_parameter_has_another_name_or_none(parameters: object) -> None:
    with pytest.raises(ValidationError, match="parameters"):
        endpoint(parameters)
