"""Deployment of a hosted model: vLLM through `ray.serve.llm`, with a placement group and autoscaling of its own."""

from collections.abc import AsyncIterator
from typing import Any, cast

from ray import serve
from ray.serve import Deployment
from ray.serve.llm import LLMConfig
from ray.serve.llm.deployment import LLMServer
from ray.serve.llm.openai_api_models import ChatCompletionRequest

from coe_ray.cluster.hosted import deployment_name
from coe_ray.llm.weights import locate_weights
from coe_ray.profile.models import Scaling, VllmModel

HEALTH_CHECK_PERIOD_S, HEALTH_CHECK_TIMEOUT_S = 2.0, 5.0
"""A replica on a lost node is found by missed health checks; a busy engine must not be mistaken for one."""

LONGEST_GENERATION_S = 600.0
"""How long a replica that is being removed may take to finish its answers."""

RETRY_AFTER_S = 2.0
"""When a caller that a full queue refused may try again."""

LOOK_BACK_S = 15.0
"""Window over which load is averaged. Callers report theirs every 10 s, so a shorter one may see none."""

DEFAULT_MEMORY_SHARE = 0.92
"""The share of a card's memory that vLLM takes by default."""


class ChatEngine(LLMServer):  # type: ignore[misc]  # ray ships no types for it
    """Ray's LLM server with requests and responses in JSON, so that callers need not import vLLM (9 s, 600 MB)."""

    async def chat_json(self, body: dict[str, Any]) -> bytes:
        """A chat completion, or an object with `error`, as JSON."""
        async for reply in await self.chat(ChatCompletionRequest(**body)):
            return bytes(reply.model_dump_json(), "utf-8")
        return b""

    async def chat_events(self, body: dict[str, Any]) -> AsyncIterator[bytes]:
        """The same as server-sent events, several of them in a chunk."""
        async for events in await self.chat(ChatCompletionRequest(**body)):
            for event in events if isinstance(events, list) else [events]:
                yield _encode_event(event)


def model_deployment(name: str, config: LLMConfig) -> Deployment:
    """The deployment of one hosted model, to be bound with `llm_config=config`.

    Its bundles are one worker's, times tensor and pipeline parallel size.
    """
    options = ChatEngine.get_deployment_options(config)
    return cast(Deployment, serve.deployment(ChatEngine, **{**options, "name": deployment_name(name)}))


def llm_config(name: str, model: VllmModel) -> LLMConfig:
    """The engine, placement and scaling of one hosted model, as `ray.serve.llm` takes them."""
    return LLMConfig(
        model_loading_config={"model_id": name, "model_source": locate_weights(model.weights)},
        engine_kwargs=_engine_kwargs(model),
        accelerator_type=model.accelerator,
        placement_group_config={"bundle_per_worker": dict(model.bundle), "strategy": model.placement_strategy},
        runtime_env={"env_vars": dict(model.environment)},
        log_engine_metrics=False,
        deployment_config=_deployment_config(model.scaling),
    )


def _deployment_config(scaling: Scaling) -> dict[str, Any]:
    return {
        "max_ongoing_requests": scaling.max_ongoing_requests,
        "max_queued_requests": scaling.queue,
        "backpressure_config": {"status_code": 429, "retry_after_s": RETRY_AFTER_S},
        "health_check_period_s": HEALTH_CHECK_PERIOD_S,
        "health_check_timeout_s": HEALTH_CHECK_TIMEOUT_S,
        "graceful_shutdown_timeout_s": LONGEST_GENERATION_S,
        "autoscaling_config": {
            "min_replicas": scaling.min_replicas,
            "max_replicas": scaling.max_replicas,
            "target_ongoing_requests": scaling.target_ongoing_requests,
            "upscale_delay_s": scaling.upscale_delay_s,
            "downscale_delay_s": scaling.downscale_delay_s,
            "look_back_period_s": LOOK_BACK_S,
        },
    }


def _engine_kwargs(model: VllmModel) -> dict[str, Any]:
    # A local folder has no revision; a hub name is pinned to the profile's.
    revision = model.weights.revision if model.weights.package is None else None
    pinned = {"revision": revision} if revision else {}
    return {"disable_log_stats": True, **_memory_share(model), **model.engine, **pinned}


def _memory_share(model: VllmModel) -> dict[str, float]:
    """The memory of a model on a shared card: its part of vLLM's default, so that all together never exceed the card.

    vLLM reserves its memory at the start, whatever the others reserved.
    """
    gpu = model.bundle.get("GPU", 0.0)
    return {"gpu_memory_utilization": round(gpu * DEFAULT_MEMORY_SHARE, 3)} if 0 < gpu < 1 else {}


def _encode_event(event: Any) -> bytes:
    if isinstance(event, str):
        return event.encode()
    return b"data: " + bytes(event.model_dump_json(), "utf-8") + b"\n\n"
