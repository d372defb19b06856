"""What a hosted model's deployment is made of, without a cluster; and what the builder says of its surroundings."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import yaml

from coe_ray.cluster.hosted import deployment_name
from coe_ray.profile.models import VllmModel
from coe_ray.profile.profile import Profile, load_profile
from coe_ray.serve.hosting import vllm
from coe_ray.serve.hosting.vllm import llm_config, model_deployment

HUGE = {
    "kind": "vllm",
    "weights": {"hub": "Qwen/Qwen2.5-72B-Instruct", "revision": "495f39366efef23836d0cfae4fbe635880d2be31"},
    "engine": {"tensor_parallel_size": 4, "pipeline_parallel_size": 2, "max_model_len": 8192},
    "environment": {"VLLM_LOGGING_LEVEL": "WARNING"},
    "accelerator": "H100",
    "bundle": {"GPU": 1, "CPU": 2},
    "strategy": "PACK",
    "scaling": {"min_replicas": 0, "max_replicas": 3, "target_ongoing_requests": 16, "max_ongoing_requests": 48},
}


@pytest.fixture(autouse=True)
def no_weights_and_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is downloaded or converted, and no cluster is needed for the driver's own environment."""
    monkeypatch.setattr(vllm, "locate_weights", lambda weights: f"located {weights.hub}")
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(runtime_env={}))


@pytest.fixture
def small() -> VllmModel:
    return _hosted(load_profile("local-cpu"), "smollm2")


@pytest.fixture
def huge(tmp_path: Path) -> VllmModel:
    content = {
        "tasks": ["devops-eval-a"],
        "models": {"qwen": HUGE},
        "experts": {"steps": {"model": "qwen"}, "direct": {"model": "qwen", "prompt": "direct"}},
        "classifier": {"model": "qwen"},
        "retrieval": {"encoder": {"hub": "sentence-transformers/all-MiniLM-L6-v2"}},
    }
    path = tmp_path / "gpu.yaml"
    path.write_text(yaml.safe_dump(content))
    return _hosted(load_profile(path), "qwen")


def _hosted(profile: Profile, name: str) -> VllmModel:
    model = profile.models[name]
    assert isinstance(model, VllmModel)
    return model


def _options(name: str, model: VllmModel) -> Any:
    """The options of the model's deployment."""
    return vllm.ChatEngine.get_deployment_options(llm_config(name, model))


def test_small_model_lies_on_one_bundle_without_a_gpu(small: VllmModel) -> None:
    # The replica's own CPU is added to the first bundle; the engine's worker lies in it, too.
    options = _options("smollm2", small)
    assert options["placement_group_bundles"] == [{"CPU": 2, "GPU": 0}]
    assert options["placement_group_strategy"] == "STRICT_PACK"
    assert llm_config("smollm2", small).accelerator_type is None


def test_large_model_lies_on_one_bundle_for_each_worker(huge: VllmModel) -> None:
    options = _options("qwen", huge)
    bundles = options["placement_group_bundles"]
    assert len(bundles) == 4 * 2
    assert [bundle["GPU"] for bundle in bundles] == [1] * 8
    assert all(bundle["CPU"] >= 2 for bundle in bundles)
    assert options["placement_group_strategy"] == "PACK"
    assert llm_config("qwen", huge).accelerator_type == "H100"


def test_engine_gets_what_the_profile_says(small: VllmModel, huge: VllmModel) -> None:
    cpu = llm_config("smollm2", small).engine_kwargs
    assert cpu == {"disable_log_stats": True, **small.engine}
    assert (cpu["dtype"], cpu["max_model_len"]) == ("float32", 4096)
    gpu = llm_config("qwen", huge).engine_kwargs
    assert (gpu["tensor_parallel_size"], gpu["pipeline_parallel_size"]) == (4, 2)


def test_hub_name_is_pinned_and_a_local_folder_is_not(small: VllmModel, huge: VllmModel) -> None:
    assert llm_config("qwen", huge).engine_kwargs["revision"] == huge.weights.revision
    assert "revision" not in llm_config("smollm2", small).engine_kwargs


def test_weights_and_environment(small: VllmModel) -> None:
    config = llm_config("smollm2", small)
    assert config.model_loading_config.model_id == "smollm2"
    assert config.model_loading_config.model_source == "located HuggingFaceTB/SmolLM2-135M-Instruct"
    assert config.runtime_env["env_vars"] == small.environment


@pytest.mark.parametrize(("name", "replicas", "requests"), [("small", (1, 1), (32, 64)), ("huge", (0, 3), (16, 48))])
def test_autoscaling_is_the_profiles(
    request: pytest.FixtureRequest, name: str, replicas: tuple[int, int], requests: tuple[int, int]
) -> None:
    options = _options("m", request.getfixturevalue(name))
    scaling = options["autoscaling_config"]
    assert (scaling["min_replicas"], scaling["max_replicas"]) == replicas
    assert (scaling["target_ongoing_requests"], options["max_ongoing_requests"]) == requests


def test_delays_queue_and_checks(huge: VllmModel) -> None:
    options = _options("m", huge)
    scaling = options["autoscaling_config"]
    assert (scaling["upscale_delay_s"], scaling["downscale_delay_s"]) == (10, 300)
    assert options["max_queued_requests"] == 3 * 48  # as many as all replicas work on at once
    assert options["backpressure_config"] == {"status_code": 429, "retry_after_s": 2}
    assert options["health_check_period_s"] <= 5
    assert options["graceful_shutdown_timeout_s"] >= 600


def test_serve_takes_the_options(huge: VllmModel) -> None:
    deployment = model_deployment("qwen", llm_config("qwen", huge))
    assert deployment.name == deployment_name("qwen") == "model-qwen"
    assert (deployment.max_ongoing_requests, deployment.max_queued_requests) == (48, 3 * 48)


def _model(**changes: Any) -> VllmModel:
    return VllmModel.model_validate({"kind": "vllm", "weights": {"hub": "some/model"}} | changes)


def test_models_that_share_a_card_share_its_memory() -> None:
    assert "gpu_memory_utilization" not in llm_config("m", _model()).engine_kwargs
    assert llm_config("m", _model(bundle={"GPU": 0.5})).engine_kwargs["gpu_memory_utilization"] == 0.46
    explicit = _model(bundle={"GPU": 0.5}, engine={"gpu_memory_utilization": 0.4})
    assert llm_config("m", explicit).engine_kwargs["gpu_memory_utilization"] == 0.4
