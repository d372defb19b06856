"""OpenAI's chat format: validated requests in; completions, chunks and error objects out. Pure.

Unsupported parameters are refused with 400 rather than ignored: an ignored `tools` looks like a bad answer.
"""

import math
import time
import uuid
from collections.abc import Mapping
from dataclasses import KW_ONLY, asdict, dataclass, field
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from coe_ray.core.types import Call, Completion, Message, Neighbour, Route, SamplingParams, Usage


@dataclass(eq=False)
class RequestError(Exception):
    """A request that gets an OpenAI error object with `status`."""

    status: int
    message: str
    _: KW_ONLY
    param: str | None = None
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message

    def content(self) -> dict[str, Any]:
        """OpenAI's error object."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


DEADLINE = "x-coe-deadline"
"""The request header with the seconds that an answer, or a stream's first piece, may take."""


class TextPart(BaseModel):
    """A text part of a message."""

    model_config = ConfigDict(extra="forbid")
    type: Literal["text"]
    text: str


# Lists that may also be given as one text. No unions: pydantic names their branches in its errors.
Content = Annotated[
    list[TextPart],
    BeforeValidator(
        lambda value: [TextPart(type="text", text=value)] if isinstance(value, str) else value,
        json_schema_input_type=str | list[TextPart],
    ),
]

_USER_MESSAGE: dict[str, Any] = {"properties": {"role": {"const": "user"}}, "required": ["role"]}


class ChatMessage(BaseModel):
    model_config = ConfigDict(extra="forbid")
    role: Literal["system", "developer", "user", "assistant"]
    content: Content
    name: str | None = None

    def message(self) -> Message:
        role = "system" if self.role == "developer" else self.role
        return Message(role, "\n".join(part.text for part in self.content))


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="ignore")
    include_usage: bool = False


class ChatRequest(SamplingParams):
    """Body of `/v1/chat/completions` and `/v1/route`."""

    model_config = ConfigDict(strict=True)

    model: str = "coe"
    messages: list[ChatMessage] = Field(min_length=1, max_length=1024, json_schema_extra={"contains": _USER_MESSAGE})
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_completion_tokens: int | None = Field(default=None, ge=1)
    n: Literal[1] | None = None
    user: str | None = None

    @field_validator("messages")
    @classmethod
    def _has_question(cls, messages: list[ChatMessage]) -> list[ChatMessage]:
        if not any(message.role == "user" and message.message().content.strip() for message in messages):
            raise ValueError("there must be a message of role user with text")
        return messages

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def call(self) -> Call:
        settings = self.merge(SamplingParams(max_tokens=self.max_completion_tokens))
        return Call(tuple(message.message() for message in self.messages), settings)


def read_request(body: bytes) -> ChatRequest:
    """The validated request. Raises `RequestError` (400) that names the parameter."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"the body is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise RequestError(400, "the body must be a JSON object with model and messages")
    try:
        return ChatRequest.model_validate(content)
    except ValidationError as error:
        raise _request_error(error) from error


def read_deadline(headers: Mapping[str, str]) -> float:
    """Seconds that the answer may take; infinite without the header. Raises `RequestError` (400)."""
    if (value := headers.get(DEADLINE)) is None:
        return math.inf
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise RequestError(400, f"header {DEADLINE}: a number of seconds above 0 is needed", code="invalid_value")
    return seconds


def _request_error(error: ValidationError) -> RequestError:
    first = error.errors(include_url=False)[0]
    message, code = {
        "extra_forbidden": ("not supported here; leave it out", "unsupported_parameter"),
        "missing": ("missing", "missing_required_parameter"),
    }.get(first["type"], (first["msg"], "invalid_value"))
    param = ".".join(map(str, first["loc"]))
    return RequestError(400, f"{param}: {message}", param=param, code=code)


class ChatResponse:
    """Writer of one response: a completion or its chunks, which share id, time and model."""

    def __init__(self, model: str) -> None:
        self._head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    def completion(self, completion: Completion, coe: dict[str, Any]) -> dict[str, Any]:
        message = {"role": "assistant", "content": completion.text, "refusal": completion.refusal}
        choice = {"index": 0, "message": message, "finish_reason": completion.finish_reason, "logprobs": None}
        head = {**self._head, "object": "chat.completion"}
        return {**head, "choices": [choice], "usage": _usage(completion.usage), "coe": coe}

    def chunk(self, text: str | None, finish_reason: str | None = None, **extra: Any) -> dict[str, Any]:
        delta = {} if text is None else {"role": "assistant", "content": text}
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return {**self._head, "object": "chat.completion.chunk", "choices": [choice], **extra}

    def last_chunks(
        self, finish_reason: str | None, usage: Usage | None, coe: dict[str, Any], *, include_usage: bool
    ) -> list[dict[str, Any]]:
        """The chunks before `[DONE]`, with usage and route in the very last one.

        That one has no choices only for a client that asked for OpenAI's usage chunk: others read `choices[0]`.
        """
        end = {**({"usage": _usage(usage)} if usage else {}), "coe": coe}
        finished = self.chunk(None, finish_reason)
        return [finished, {**finished, "choices": [], **end}] if include_usage else [{**finished, **end}]


def _usage(usage: Usage) -> dict[str, int]:
    return {**asdict(usage), "total_tokens": usage.prompt_tokens + usage.completion_tokens}


def route_object(route: Route) -> dict[str, Any]:
    """The route as clients see it, for orjson."""
    classification = route.classification
    return {
        "expert": route.expert,
        "task": classification.task,
        "confidence": round(classification.confidence, 4),
        "reason": route.reason,
        "leaderboard": route.leaderboard,
        "cached": route.cached,
        "row": route.row,
        "runner_up": route.runner_up,
        "margin": round(route.margin, 4),
        "classifier": {
            "by": classification.by,
            "rule": classification.rule,
            "raw": classification.raw,
            "seconds": round(classification.seconds, 4),
        },
        "neighbours": [_neighbour(near) for near in classification.neighbours],
        # Without the messages, which may quote addresses and providers: the log has them.
        "tried": [{"expert": each.expert, "error": each.error, "seconds": each.seconds} for each in route.tried],
    }


def _neighbour(near: Neighbour) -> dict[str, Any]:
    similarity, weight = round(near.similarity, 4), round(near.weight, 4)
    return {"question": near.text, "task": near.task, "similarity": similarity, "weight": weight}
