"""OpenAI's chat format: requests in; completions, chunks and error objects out. Pure.

Only what routing needs is read and checked. Everything else goes to the expert's model as it came, and its reply comes
back as it came, with `coe` added.
"""

import math
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field
from typing import Annotated, Any, Literal, Self, TypeVar, cast

import orjson
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
)

from coe_ray.core.types import Call, Completion, Delta, Message, Neighbour, Role, Route, Usage

Body = TypeVar("Body", bound=BaseModel)


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


def model_not_found(name: str, known: Sequence[str]) -> RequestError:
    return RequestError(404, f"no model {name!r}; there are: {', '.join(known)}", param="model", code="model_not_found")


MAX_NAMED = 20
"""Fields that an error names, at most."""

DEADLINE = "x-coe-deadline"
"""The request header with the seconds that an answer, or a stream's first piece, may take."""

TASK = "x-coe-task"
"""The request header that names the question's task, percent-encoded: it is not classified then."""

SESSION = "x-coe-session"
"""The request header that names a conversation: what goes on in it stays with its expert."""


MAX_PARTS = 512
"""Parts of a message, at most."""

MAX_ALL_PARTS = 4096
"""Parts of all messages of a request, at most."""

MAX_MESSAGES = 4096


class ContentPart(BaseModel):
    """A part of a message: text, or anything else that the expert's model reads."""

    model_config = ConfigDict(extra="allow")
    type: str
    text: str | None = None


# Lists that may also be given as one text. No unions: pydantic names their branches in its errors.
Parts = Annotated[list[ContentPart], Field(max_length=MAX_PARTS)]
Content = Annotated[
    Parts | None,
    BeforeValidator(
        lambda value: [ContentPart(type="text", text=value)] if isinstance(value, str) else value,
        json_schema_input_type=str | Parts | None,
    ),
]

_USER_MESSAGE: dict[str, Any] = {"properties": {"role": {"const": "user"}}, "required": ["role"]}
_TEXT_ROLES: Mapping[str, Role] = {"developer": "system", "function": "tool"}


class ChatMessage(BaseModel):
    model_config = ConfigDict(extra="allow")
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Content = None

    @property
    def says_something(self) -> bool:
        """Whether it has text, or a part that is none."""
        return any(part.type != "text" or (part.text or "").strip() for part in self.content or ())

    def text_message(self) -> Message:
        """The message with its text alone."""
        role = _TEXT_ROLES.get(self.role, cast(Role, self.role))
        return Message(role, "\n".join(part.text for part in self.content or () if part.text))


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="allow")
    include_usage: bool = False


class ChatRequest(BaseModel):
    """Body of `/v1/chat/completions` and `/v1/route`. Other fields go to the expert's model as they come."""

    model_config = ConfigDict(extra="allow", strict=True, hide_input_in_errors=True)

    model: str = "coe"
    messages: Annotated[list[ChatMessage], FailFast()] = Field(
        min_length=1, max_length=MAX_MESSAGES, json_schema_extra={"contains": _USER_MESSAGE}
    )
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: list[dict[str, Any]] | None = Field(default=None, max_length=MAX_PARTS)
    response_format: dict[str, Any] | None = None
    _body: Mapping[str, Any] = PrivateAttr(default_factory=dict)

    @field_validator("messages")
    @classmethod
    def _has_question(cls, messages: list[ChatMessage]) -> list[ChatMessage]:
        if not any(message.role == "user" and message.says_something for message in messages):
            raise ValueError("there must be a message of role user with text")
        return messages

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def call(self) -> Call:
        """The call with the client's own body, and its question."""
        return Call(tuple(message.text_message() for message in self.messages), request=self._body)

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """The request of a JSON object. Raises `RequestError` (400) that names every wrong field."""
        _check_parts(body.get("messages"))
        request = validate_body(cls, body)
        request._body = body  # its own, and pydantic makes private attributes no parameters
        return request


def _check_parts(messages: object) -> None:
    """Raises `RequestError` (400) for more parts than are looked at: an object is made of each."""
    contents = (
        (each.get("content") for each in messages if isinstance(each, dict)) if isinstance(messages, list) else ()
    )
    count = sum(len(content) for content in contents if isinstance(content, list))
    if count > MAX_ALL_PARTS:
        message = f"messages: {count} parts, at most {MAX_ALL_PARTS} are read"
        raise RequestError(400, message, param="messages", code="invalid_value")


def read_request(body: bytes) -> ChatRequest:
    """The validated request. Raises `RequestError` (400) that names the parameter."""
    return ChatRequest.read(parse_body(body))


def parse_body(body: bytes) -> dict[str, Any]:
    """The JSON object of a request. Raises `RequestError` (400)."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"the body is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise RequestError(400, "the body must be a JSON object")
    try:
        # It reads deeper nesting than it writes, and the body is passed on: a tool one level, an echo another deeper.
        orjson.dumps([[content]])
    except orjson.JSONEncodeError as error:
        raise RequestError(400, f"the JSON is nested too deeply: {error}") from error
    return content


def validate_body(schema: type[Body], content: Mapping[str, Any]) -> Body:
    """The request as its schema. Raises `RequestError` (400) that names every wrong field."""
    try:
        return schema.model_validate(content)
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
    """The error that names every field that is wrong; `param` and `code` are the first one's."""
    errors = error.errors(include_url=False, include_input=False)
    params = [".".join(map(str, each["loc"])) for each in errors]
    lines = [
        f"{param}: {'missing' if each['type'] == 'missing' else each['msg'].removeprefix('Value error, ')}"
        for param, each in zip(params, errors, strict=True)
    ]
    code = "missing_required_parameter" if errors[0]["type"] == "missing" else "invalid_value"
    return RequestError(400, "; ".join(lines[:MAX_NAMED]), param=params[0], code=code)


class ChatResponse:
    """Writer of one response: a completion or its chunks, which share id, time and model."""

    def __init__(self, model: str) -> None:
        self._head = {"id": f"chatcmpl-{secrets.token_hex(16)}", "created": int(time.time()), "model": model}
        self._begun: set[object] = set()

    def completion(self, completion: Completion, coe: dict[str, Any]) -> dict[str, Any]:
        """The reply as the model gave it, or the completion of a model that is no LLM."""
        reply = completion.reply
        if reply is None:
            message = {"role": "assistant", "content": completion.text, "refusal": completion.refusal}
            choice = {"index": 0, "message": message, "finish_reason": completion.finish_reason, "logprobs": None}
            reply = {"choices": [choice], "usage": _usage(completion.usage)}
        ours = {"object": "chat.completion", "model": self._head["model"], "coe": coe}
        if isinstance(counted := reply.get("usage"), dict):
            ours["usage"] = {**_usage(completion.usage), **counted}  # some leave out the total, which clients read
        return {**self._head, **reply, **ours}

    def chunk(self, delta: Delta) -> dict[str, Any]:
        """A chunk as the model gave it, but for what is once in a response: the role first, the usage last."""
        event = delta.event
        if event is None or "choices" not in event:
            choice = {"index": 0, "delta": {"content": delta.text}, "finish_reason": None, "logprobs": None}
            event = {"choices": [choice]}
        choices = [self._with_role_once(choice) for choice in event["choices"] if isinstance(choice, dict)]
        chunk = {**event, **self._head, "object": "chat.completion.chunk", "choices": choices}
        chunk.pop("usage", None)
        return chunk

    def _with_role_once(self, choice: dict[str, Any]) -> dict[str, Any]:
        index, delta = choice.get("index", 0), choice.get("delta") or {}
        if index not in self._begun:
            self._begun.add(index)
            delta = {"role": "assistant", **delta}
        elif "role" in delta:
            delta = {name: value for name, value in delta.items() if name != "role"}
        return choice if choice.get("delta") is delta else {**choice, "delta": delta}

    def last_chunks(
        self, held: dict[str, Any] | None, last: Delta, coe: dict[str, Any], *, include_usage: bool
    ) -> list[dict[str, Any]]:
        """The chunks before `[DONE]`, with usage and route in the very last one.

        `held` is the chunk with the finish reason, where the model sent one. The last one has no choices only for a
        client that asked for OpenAI's usage chunk: others read `choices[0]`.
        """
        counted = _usage(last.usage) | (last.event or {}).get("usage", {}) if last.usage else None
        end = {**({"usage": counted} if counted else {}), "coe": coe}
        choice = {"index": 0, "delta": {}, "finish_reason": last.finish_reason, "logprobs": None}
        finished = held or {**self._head, "object": "chat.completion.chunk", "choices": [choice]}
        return [finished, {**finished, "choices": [], **end}] if include_usage else [{**finished, **end}]


def is_finished(chunk: Mapping[str, Any]) -> bool:
    """Whether a chunk has the finish reason of a choice."""
    return any(choice.get("finish_reason") for choice in chunk["choices"])


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
            "fallback": classification.fallback,
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
