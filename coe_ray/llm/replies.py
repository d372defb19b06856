"""Reply parser of OpenAI-compatible endpoints: a body → `Completion`, a stream → `Delta`s. Pure.

A reply without an answer is an error, never an empty answer. What the text leaves out (tool calls, reasoning, further
choices) is in the reply or event itself, which goes to the client as it came but for the key.
"""

from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any

import orjson

from coe_ray.core.counts import parse_token_logprobs, parse_usage
from coe_ray.core.types import Call, Completion, Delta, Usage
from coe_ray.llm.faults import FaultClassifier

FILTERED = "content_filter"
"""The finish reason of an answer that a filter stopped."""


_OF_A_JOB = Call(())


def read_completion(faults: FaultClassifier, body: bytes, call: Call = _OF_A_JOB) -> Completion:
    """The answer in a 200 reply's `body`. Raises `MalformedReply`, or what an `error` object in it means.

    A client gets no empty answer; in a job one is an answer without a letter.
    """
    payload = _object(faults, body)
    choice = _first_choice(payload)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise faults.malformed_reply("the reply has no choices with a message", _shown(body))
    if call.request is not None:
        _require_choices(faults, payload, "message")
    reason = _word(choice.get("finish_reason")) or "stop"
    refusal = _word(message.get("refusal")) or (FILTERED if reason == FILTERED else None)
    text = plain_text(message.get("content"))
    if reason not in _MAY_BE_EMPTY and _must_say_something(call) and not _says_something(message):
        raise faults.malformed_reply("the reply is empty", _shown(body))
    reply = None if call.request is None else payload
    return Completion(
        text, reason, parse_usage(payload.get("usage")), refusal, first_token=_first_token(choice), reply=reply
    )


def _must_say_something(call: Call) -> bool:
    """Whether an empty answer is none: for a client, unless its own stop words can end an answer at once."""
    return call.request is not None and not call.request.get("stop")


_MAY_BE_EMPTY = ("length", FILTERED)
"""Finish reasons of an answer that ended before its first word."""

_SAYING = ("content", "refusal", "reasoning_content", "reasoning", "tool_calls", "function_call", "audio")


def _says_something(message: Mapping[str, object]) -> bool:
    """Whether a message, or a piece of one, holds anything of an answer."""
    return any(message.get(name) for name in _SAYING)


def _require_choices(faults: FaultClassifier, payload: Mapping[str, Any], part: str) -> None:
    """Raises `MalformedReply` where a client could not read a choice. `part` is `message`, or `delta` in a stream."""
    for choice in payload["choices"]:
        if not _is_readable(choice, part):
            raise faults.malformed_reply("the reply has a choice that cannot be read")


def _is_readable(choice: object, part: str) -> bool:
    if not isinstance(choice, dict) or not isinstance(choice.get("index"), int | None):
        return False
    said = choice.get(part) or {}
    if not isinstance(said, dict) or not isinstance(choice.get("finish_reason"), str | None):
        return False
    calls = said.get("tool_calls")
    return not calls or (isinstance(calls, list) and all(map(_is_call, calls)))


def _is_call(call: object) -> bool:
    return (
        isinstance(call, dict)
        and isinstance(call.get("index"), int | None)
        and isinstance(call.get("function") or {}, dict)
    )


def _first_token(choice: dict[str, object]) -> tuple[tuple[str, float], ...]:
    """The alternatives to the first token; none where the endpoint sent none that can be read."""
    logprobs = choice.get("logprobs")
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    first = tokens[0] if isinstance(tokens, list) and tokens else None
    top = first.get("top_logprobs") if isinstance(first, dict) else None
    alternatives = top if isinstance(top, list) else ()
    return parse_token_logprobs(
        [(each.get("token"), each.get("logprob")) for each in alternatives if isinstance(each, dict)]
    )


def completion_deltas(completion: Completion) -> Iterator[Delta]:
    """A whole answer as a stream would have sent it, refusals included (see `StreamReader`)."""
    text, reply = completion.text or completion.refusal or "", completion.reply
    if text or reply:
        yield Delta(text, event=None if reply is None else as_event(reply))
    reason = FILTERED if completion.refusal else completion.finish_reason
    yield Delta("", reason, completion.usage, {"usage": reply["usage"]} if reply and reply.get("usage") else None)


def as_event(reply: Mapping[str, Any]) -> dict[str, Any]:
    """A whole reply as one chunk of a stream; its finish reasons come with it."""
    choices = [
        {
            **{name: value for name, value in choice.items() if name != "message"},
            "delta": _with_indexes(choice["message"]),
        }
        for choice in reply["choices"]
        if isinstance(choice, dict) and isinstance(choice.get("message"), dict)
    ]
    return {**reply, "object": "chat.completion.chunk", "choices": choices}


def _with_indexes(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as a delta, whose tool calls are numbered."""
    calls = message.get("tool_calls")
    numbered = [{"index": index, **call} for index, call in enumerate(calls)] if isinstance(calls, list) else calls
    return {**message, "tool_calls": numbered} if calls else dict(message)


class StreamReader:
    """Reader of server-sent events: bytes in as they arrive (a line may be cut anywhere), one delta an event out.

    The finish reason is kept for the last delta, because the usage comes in an event after it. A refusal comes out as
    text with the finish reason `content_filter`, since a delta has no field for it.
    """

    def __init__(self, faults: FaultClassifier, call: Call = _OF_A_JOB) -> None:
        self.done = False
        self._is_for_client = call.request is not None
        self._is_empty = _must_say_something(call)
        self._faults = faults
        self._rest = b""
        self._reason: str | None = None
        self._usage: Usage | None = None
        self._usage_event: dict[str, Any] | None = None
        self._answered = self._refused = False

    def feed(self, chunk: bytes) -> Iterator[Delta]:
        """The deltas that `chunk` completes."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if line and (delta := self._read_line(line)):
                yield delta

    def finish(self) -> Iterator[Delta]:
        """The last delta. Raises `MalformedReply` where the stream broke off."""
        yield from self.feed(b"\n")
        if not self._answered:
            raise self._faults.malformed_reply("the stream holds no choices")
        if not (self.done or self._reason):
            raise self._faults.malformed_reply("the stream ended without finish_reason or [DONE]")
        if self._is_empty and self._reason is None:
            raise self._faults.malformed_reply("the reply is empty")
        yield Delta("", FILTERED if self._refused else self._reason or "stop", self._usage, self._usage_event)

    def _read_line(self, line: bytes) -> Delta | None:
        field, _, value = line.partition(b":")
        if self.done or field != b"data" or not (data := value.strip()):
            return None  # after the end, or a comment, another field, or the blank line between events
        if data == b"[DONE]":
            self.done = True
            return None
        payload = _object(self._faults, data)
        if isinstance(payload.get("usage"), dict):
            self._usage, self._usage_event = parse_usage(payload["usage"]), {"usage": payload["usage"]}
        if not (choice := _first_choice(payload)):
            return None
        if self._is_for_client:
            _require_choices(self._faults, payload, "delta")
        self._answered = True
        self._reason = _word(choice.get("finish_reason")) or self._reason
        piece = choice.get("delta")
        self._is_empty = self._is_empty and not (isinstance(piece, dict) and _says_something(piece))
        if self._is_empty and self._reason and self._reason not in _MAY_BE_EMPTY:
            raise self._faults.malformed_reply("the reply is empty")
        return Delta(self._piece(piece), event=payload)

    def _piece(self, delta: object) -> str:
        if not isinstance(delta, dict):
            return ""
        refusal = _word(delta.get("refusal"))
        self._refused = self._refused or bool(refusal)
        return plain_text(delta.get("content")) or refusal or ""


async def start_stream(deltas: AsyncGenerator[Delta, None]) -> tuple[list[Delta], AsyncGenerator[Delta, None]]:
    """The deltas up to the first that is part of an answer, and the rest of them."""
    first: list[Delta] = []
    async for delta in deltas:
        first.append(delta)
        if is_substance(delta):
            break
    return first, deltas


def is_substance(delta: Delta) -> bool:
    """Whether a piece is, or ends, an answer: until then, another try or expert can still give one."""
    choice = _first_choice(dict(delta.event or {}))
    piece = choice.get("delta")
    return bool(delta.text or delta.finish_reason or choice.get("finish_reason")) or (
        isinstance(piece, dict) and _says_something(piece)
    )


def _object(faults: FaultClassifier, data: bytes) -> dict[str, object]:
    """The JSON object in `data`, without the key; an `error` in it, or in its choice, is raised."""
    try:
        # A key spread over several events is not found: each is passed on as it comes.
        payload = orjson.loads(faults.key.scrub_reply(data))
    except orjson.JSONDecodeError:
        raise faults.malformed_reply("the reply is not JSON", _shown(data)) from None
    if not isinstance(payload, dict):
        raise faults.malformed_reply("the reply is not a JSON object", _shown(data))
    if error := payload.get("error") or _first_choice(payload).get("error"):
        raise faults.from_error_object(error)
    return payload


def _first_choice(payload: dict[str, object]) -> dict[str, object]:
    choices = payload.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


def plain_text(content: object) -> str:
    """A message's content: text, or the text of a list of parts."""
    if isinstance(content, list):
        return "".join(_word(part.get("text")) or "" for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _shown(data: bytes) -> str:
    return data.decode(errors="replace")
