"""Engines without a GPU or vLLM. Nothing heavy is imported here: each replica imports this file."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import orjson
from ray import serve

INSIDE_THE_REAL_ONE = {"RAYLLM_VLLM_ENGINE_CLS": "tests.serve.hosting.gpu_engines.ScriptedEngine"}
"""A model's `environment` that puts `ScriptedEngine` into the real `ChatEngine`, in vLLM's place."""


class PacedEngine:
    """Speaks as `ChatEngine` does, and takes the seconds that the question names (`for 0.5 s`).

    It answers with its model's name, or with its replica's where it is asked `which replica`.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._replica = serve.get_replica_context().replica_id.unique_id

    async def chat_json(self, body: dict[str, Any]) -> bytes:
        question = body["messages"][-1]["content"]
        pause = re.search(r"for ([0-9.]+) s", question)
        await asyncio.sleep(float(pause[1]) if pause else 0.0)
        return orjson.dumps(_completion(self._replica if "which replica" in question else self._name))

    async def check_health(self) -> None:
        """Well as long as it answers."""


class ScriptedEngine:
    """Answers with its parallel sizes."""

    def __init__(self, llm_config: Any) -> None:
        self._sizes = llm_config.engine_kwargs

    async def start(self) -> None:
        """There is nothing to load."""

    async def chat(self, request: Any, _: object = None) -> AsyncIterator[Any]:
        from ray.serve.llm.openai_api_models import ChatCompletionResponse

        content = f"tensor {self._sizes['tensor_parallel_size']}"
        yield ChatCompletionResponse(model=request.model, **_completion(content))

    async def check_health(self) -> None:
        """Well as long as it answers."""

    async def shutdown(self) -> None:
        """There is nothing to free."""


def _completion(content: str) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {"choices": [choice], "usage": usage}
