"""Models for the tests of the endpoint: one with a bug, and a deployment that stands in for vLLM's."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NoReturn, cast

import orjson
from ray import serve
from ray.serve import Application, Deployment

from coe_ray.core.types import Call, Completion, Delta
from coe_ray.profile.profile import load_profile
from coe_ray.serve.app import AppArgs
from coe_ray.serve.ingress import Ingress

TOO_LONG = "This model's maximum context length is 4096 tokens. However, your request has 9000 input tokens."
PIECES = ("Three ", "little ", "pieces")


class Bug:
    """A model whose program is wrong."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def complete(self, call: Call) -> Completion:
        self._fail()

    async def stream(self, call: Call) -> AsyncIterator[Delta]:
        yield Delta("All ")
        self._fail()

    def _fail(self) -> NoReturn:
        raise RuntimeError("a detail of the inside")


@serve.deployment(name="model-toy", max_ongoing_requests=64, ray_actor_options={"num_cpus": 0})
class ToyEngine:
    """Speaks as `ChatEngine` does. What it does is in the last message; what happened to it is in `folder`."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    async def chat_json(self, body: dict[str, Any]) -> bytes:
        text = await self._obey(body)
        if text == TOO_LONG:
            return _error(400)
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return orjson.dumps({"choices": [choice], "usage": {"prompt_tokens": 2, "completion_tokens": 1}})

    async def chat_events(self, body: dict[str, Any]) -> AsyncIterator[bytes]:
        text = await self._obey(body)
        if text == TOO_LONG:
            yield b"data: " + _error(400) + b"\n\n"
            return
        for piece in PIECES:
            yield _event({"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]})
        if text == "break":
            raise ValueError("the engine is dead")
        if text == "trickle":
            await self._until_left()
        yield _event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        yield _event({"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 3}}) + b"data: [DONE]\n\n"

    async def _obey(self, body: dict[str, Any]) -> str:
        text = str(body["messages"][-1]["content"])
        match text:
            case "body":
                return orjson.dumps(body).decode()
            case "crash":
                raise ValueError("the engine is dead")
            case "too long":
                return TOO_LONG
            case "hang":
                await self._until_left()
            case "die once" if not (self._folder / "died").exists():
                (self._folder / "died").touch()
                os._exit(1)
        return text

    async def _until_left(self) -> None:
        (self._folder / "begun").touch()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            (self._folder / "left").touch()
            raise


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(content) + b"\n\n"


def _error(status: int) -> bytes:
    return orjson.dumps({"error": {"message": TOO_LONG, "type": "BadRequestError", "param": None, "code": status}})


def build(args: AppArgs) -> Application:
    """The ingress over toy engines. Nothing is retrieved, so no retriever is needed."""
    profile = load_profile(args.profile)
    engine = cast(Deployment, ToyEngine).bind(profile.folder)
    return cast(Deployment, Ingress).bind(profile, engine, {"toy": engine}, [])
