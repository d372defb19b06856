"""An engine for the chaos tests. Nothing heavy is imported here: each replica imports this file."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson

PIECE_S = 0.03
"""Between two words of an answer, so that there is always something under way."""


def answer_of(expert: str, question: str) -> str:
    """What a hosted expert answers to a question: nobody else says it, and to no other question."""
    return f"{expert} has looked at it: {question}"


class EchoEngine:
    """Speaks as `ChatEngine` does."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def chat_json(self, body: dict[str, Any]) -> bytes:
        text = self._text(body)
        await asyncio.sleep(PIECE_S * len(text.split()))
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return orjson.dumps({"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})

    async def chat_events(self, body: dict[str, Any]) -> AsyncIterator[bytes]:
        for number, word in enumerate(self._text(body).split()):
            yield _event({"content": f" {word}" if number else word})
            await asyncio.sleep(PIECE_S)
        yield _event({}, "stop") + b"data: [DONE]\n\n"

    async def check_health(self) -> None:
        """Well as long as it answers."""

    def _text(self, body: dict[str, Any]) -> str:
        return answer_of(self._name, body["messages"][-1]["content"])


def _event(delta: dict[str, str], reason: str | None = None) -> bytes:
    return b"data: " + orjson.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}) + b"\n\n"
