"""One deployment for each hosted model: vLLM through `ray.serve.llm`, on its own placement group and autoscaling."""

from collections.abc import AsyncIterator
from typing import Any

from ray.serve import Application
from ray.serve.llm import LLMConfig, build_llm_deployment
from ray.serve.llm.deployment import LLMServer
from ray.serve.llm.openai_api_models import ChatCompletionRequest

from coe_ray.cluster import deployment_name
from coe_ray.model_config import VllmModel
from coe_ray.weights import locate


class ChatEngine(LLMServer):  # type: ignore[misc]  # ray ships no types for it
    """Ray's LLM server with JSON at its door, so that its callers need not import vLLM (9 s, 600 MB)."""

    async def chat_json(self, body: dict[str, Any]) -> bytes:
        """A chat completion, or an object with `error`, as JSON."""
        async for reply in await self.chat(ChatCompletionRequest(**body)):
            return bytes(reply.model_dump_json(), "utf-8")
        return b""

    async def chat_events(self, body: dict[str, Any]) -> AsyncIterator[bytes]:
        """The same as server-sent events, several in a chunk."""
        async for events in await self.chat(ChatCompletionRequest(**body)):
            for event in events if isinstance(events, list) else [events]:
                yield _as_event(event)


def model_deployment(name: str, model: VllmModel) -> Application:
    """The deployment of one hosted model; its bundles are one worker's, times tensor and pipeline parallel size."""
    named = {"name": deployment_name(name)}
    return build_llm_deployment(llm_config(name, model), deployment_cls=ChatEngine, override_serve_options=named)


def llm_config(name: str, model: VllmModel) -> LLMConfig:
    scaling = model.scaling
    return LLMConfig(
        model_loading_config={"model_id": name, "model_source": locate(model.weights)},
        engine_kwargs=_engine(model),
        accelerator_type=model.accelerator,
        placement_group_config={"bundle_per_worker": dict(model.bundle), "strategy": model.strategy},
        runtime_env={"env_vars": dict(model.environment)},
        log_engine_metrics=False,
        deployment_config={
            "max_ongoing_requests": scaling.max_ongoing_requests,
            "autoscaling_config": {
                "min_replicas": scaling.min_replicas,
                "max_replicas": scaling.max_replicas,
                "target_ongoing_requests": scaling.target_ongoing_requests,
            },
        },
    )


def _engine(model: VllmModel) -> dict[str, Any]:
    # A local folder has no revision; a hub name is pinned to the profile's.
    revision = model.weights.revision if model.weights.package is None else None
    return {"disable_log_stats": True, **model.engine, **({"revision": revision} if revision else {})}


def _as_event(event: Any) -> bytes:
    if isinstance(event, str):
        return event.encode()
    return b"data: " + bytes(event.model_dump_json(), "utf-8") + b"\n\n"
