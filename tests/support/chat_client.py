"""The endpoint as clients use it: short calls of the OpenAI client, and the parts of replies that tests look at."""

from typing import Any

import httpx
from openai import OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk

CHAT = "/v1/chat/completions"


def user(text: str) -> list[Any]:
    """Messages with one question."""
    return [{"role": "user", "content": text}]


def ask(client: OpenAI, text: str, model: str = "coe", **settings: Any) -> ChatCompletion:
    completion = client.chat.completions.create(model=model, messages=user(text), **settings)
    assert isinstance(completion, ChatCompletion)
    return completion


def stream(client: OpenAI, text: str, model: str = "coe", **settings: Any) -> list[ChatCompletionChunk]:
    return list(client.chat.completions.create(model=model, messages=user(text), stream=True, **settings))


def text_of(completion: ChatCompletion) -> str:
    return completion.choices[0].message.content or ""


def stream_text(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def coe_of(reply: ChatCompletion | ChatCompletionChunk) -> dict[str, Any]:
    """The object `coe`, which OpenAI's form does not have."""
    return reply.to_dict()["coe"]  # type: ignore[return-value]  # to_dict() promises objects


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The OpenAI error object, whose four keys are always there."""
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == ("server_error" if response.status_code >= 500 else "invalid_request_error")
    return error
