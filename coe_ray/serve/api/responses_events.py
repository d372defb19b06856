"""Answers in OpenAI's Responses form: one builder makes the whole response and, on the way there, a stream's events."""

import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from coe_ray.core.counts import is_count
from coe_ray.llm.replies import as_event, plain_text
from coe_ray.serve.api.http import ChatForm, write_event
from coe_ray.serve.api.openai import RequestError

_DEFAULTS: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "user": None,
}
"""Fields of a request that its response repeats, with what they are where the request leaves them out."""

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_FIELD = {"output_text": "text", "reasoning_text": "text", "refusal": "refusal"}
"""The field of each kind of content part that holds its text."""


@dataclass(slots=True)
class _Item:
    """An output item under way. `pieces` are those of its last content part, or of a call's arguments."""

    index: int
    content: dict[str, Any]
    pieces: list[str] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)

    @property
    def place(self) -> dict[str, Any]:
        return {"item_id": self.content["id"], "output_index": self.index}


class ResponsesForm(ChatForm):
    """Writer of one answer as a `response` object or its events. `request` is the body that it answers."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        repeated = {name: request[name] for name in _DEFAULTS if request.get(name) is not None}
        repeated["text"] = _DEFAULTS["text"] | repeated.get("text", {})
        head = {"id": _new_id("resp"), "object": "response", "created_at": int(time.time()), "status": "in_progress"}
        stateless = {"background": False, "previous_response_id": None, "store": False, "truncation": "disabled"}
        self._response: dict[str, Any] = {
            **{**head, "error": None, "incomplete_details": None, "model": request.get("model", "coe"), "output": []},
            **{**_DEFAULTS, **repeated, **stateless, "usage": None},
        }
        self._sent = 0
        self._items: list[_Item] = []
        self._writing: _Item | None = None
        self._calls: dict[int, _Item] = {}
        self._finish_reason: str | None = None

    def whole(self, completion: dict[str, Any]) -> dict[str, Any]:
        for _ in (*self._read(as_event(completion)), *self._finish()):
            pass
        return self._response

    def piece(self, chunk: dict[str, Any]) -> bytes:
        return _write(self._read(chunk))

    def end(self) -> bytes:
        return _write(self._finish())

    def failure(self, error: RequestError) -> bytes:
        return _write(self._fail(error))

    def _read(self, chunk: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The events of a chat chunk. Of several choices only the first is in this form."""
        yield from self._begin()
        if isinstance(usage := chunk.get("usage"), dict):
            self._response["usage"] = _usage(usage)
        self._response |= {name: chunk[name] for name in ("coe", "service_tier") if chunk.get(name)}
        for choice in chunk["choices"]:
            if not choice.get("index"):
                yield from self._read_delta(choice.get("delta") or {}, choice.get("logprobs"))
                self._finish_reason = choice.get("finish_reason") or self._finish_reason

    def _read_delta(self, delta: Mapping[str, Any], logprobs: object) -> Iterator[dict[str, Any]]:
        if reasoning := plain_text(delta.get("reasoning_content")) or plain_text(delta.get("reasoning")):
            yield from self._add_text("reasoning", "reasoning_text", reasoning)
        if text := plain_text(delta.get("content")):
            tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
            yield from self._add_text("message", "output_text", text, tokens if isinstance(tokens, list) else [])
        if refusal := plain_text(delta.get("refusal")):
            yield from self._add_text("message", "refusal", refusal)
        for call in delta.get("tool_calls") or ():
            if isinstance(call, dict):
                yield from self._add_call(call)

    def _begin(self) -> Iterator[dict[str, Any]]:
        if not self._sent:
            for kind in ("response.created", "response.in_progress"):
                yield self._event(kind, response=dict(self._response, output=[]))

    def _add_text(
        self, kind: str, part_kind: str, text: str, logprobs: list[Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        item = self._writing
        if item is None or item.content["type"] != kind:
            yield from self._close_text("completed")
            own: dict[str, Any] = {"role": "assistant"} if kind == "message" else {"summary": []}
            item = self._writing = self._new_item({"type": kind, "id": _new_id(_PREFIX[kind]), **own, "content": []})
            yield self._event("response.output_item.added", output_index=item.index, item=_copy(item.content))
        parts = item.content["content"]
        if not parts or parts[-1]["type"] != part_kind:
            yield from self._close_part(item)
            parts.append({"type": part_kind, _FIELD[part_kind]: "", **_PART_EXTRAS.get(part_kind, {})})
            place = {**item.place, "content_index": len(parts) - 1}
            yield self._event("response.content_part.added", **place, part=dict(parts[-1]))
        item.pieces.append(text)
        item.logprobs += logprobs or ()
        place = {**item.place, "content_index": len(parts) - 1, "delta": text}
        if part_kind == "output_text":
            place["logprobs"] = logprobs or []
        yield self._event(f"response.{part_kind}.delta", **place)

    def _add_call(self, call: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        index, function = call.get("index", 0), call.get("function") or {}
        item = self._calls.get(index)
        # Some models number all their calls 0.
        if item is None or call.get("id") not in (None, "", item.content["call_id"]):
            yield from self._close_text("completed")
            call_id, name = call.get("id") or _new_id("call"), function.get("name") or ""
            content = {"type": "function_call", "id": _new_id("fc"), "call_id": call_id, "name": name, "arguments": ""}
            item = self._calls[index] = self._new_item(content)
            yield self._event("response.output_item.added", output_index=item.index, item=_copy(item.content))
        if arguments := plain_text(function.get("arguments")):
            item.pieces.append(arguments)
            yield self._event("response.function_call_arguments.delta", **item.place, delta=arguments)

    def _new_item(self, content: dict[str, Any]) -> _Item:
        item = _Item(len(self._items), {**content, "status": "in_progress"})
        self._items.append(item)
        return item

    def _close_part(self, item: _Item) -> Iterator[dict[str, Any]]:
        if not (parts := item.content["content"]):
            return
        part, place = parts[-1], {**item.place, "content_index": len(parts) - 1}
        name = _FIELD[part["type"]]
        part[name] = "".join(item.pieces)
        extra = {}
        if part["type"] == "output_text":
            part["logprobs"] = extra["logprobs"] = item.logprobs
        item.pieces, item.logprobs = [], []
        yield self._event(f"response.{part['type']}.done", **place, **{name: part[name]}, **extra)
        yield self._event("response.content_part.done", **place, part=part)

    def _close_text(self, status: str) -> Iterator[dict[str, Any]]:
        """Close the message or the reasoning that is being written."""
        if item := self._writing:
            self._writing = None
            yield from self._close_part(item)
            yield self._close_item(item, status)

    def _close_item(self, item: _Item, status: str) -> dict[str, Any]:
        item.content["status"] = status
        return self._event("response.output_item.done", output_index=item.index, item=item.content)

    def _close_all(self, status: str) -> Iterator[dict[str, Any]]:
        """Close what is still open; calls are, as their pieces may come in any order."""
        yield from self._close_text(status)
        for item in self._items:
            if item.content["status"] == "in_progress":
                item.content["arguments"] = "".join(item.pieces)
                done = {"name": item.content["name"], "arguments": item.content["arguments"]}
                yield self._event("response.function_call_arguments.done", **item.place, **done)
                yield self._close_item(item, status)

    def _finish(self) -> Iterator[dict[str, Any]]:
        reason = _INCOMPLETE.get(self._finish_reason or "")
        status = "incomplete" if reason else "completed"
        yield from self._begin()
        yield from self._close_all(status)
        own = {"incomplete_details": {"reason": reason}} if reason else {"completed_at": int(time.time())}
        yield self._ended(status, own)

    def _fail(self, error: RequestError) -> Iterator[dict[str, Any]]:
        yield from self._begin()
        yield from self._close_all("incomplete")
        code = "rate_limit_exceeded" if error.status == 429 else "server_error"
        yield self._ended("failed", {"error": {"code": code, "message": error.message}})

    def _ended(self, status: str, own: Mapping[str, Any]) -> dict[str, Any]:
        self._response |= {"status": status, "output": [item.content for item in self._items], **own}
        return self._event(f"response.{status}", response=self._response)

    def _event(self, kind: str, **content: Any) -> dict[str, Any]:
        self._sent += 1
        return {"type": kind, "sequence_number": self._sent - 1, **content}


_PREFIX = {"message": "msg", "reasoning": "rs"}
_PART_EXTRAS: dict[str, dict[str, Any]] = {"output_text": {"annotations": [], "logprobs": []}}


def _copy(content: Mapping[str, Any]) -> dict[str, Any]:
    """An item as it is now: its content grows."""
    return {**content, "content": []} if "content" in content else dict(content)


def _write(events: Iterator[dict[str, Any]]) -> bytes:
    return b"".join(b"event: %b\n%b" % (event["type"].encode(), write_event(event)) for event in events)


def _new_id(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex}"


def _usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Tokens in this form's words."""
    read, written = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    cached = _count(usage.get("prompt_tokens_details"), "cached_tokens")
    reasoning = _count(usage.get("completion_tokens_details"), "reasoning_tokens")
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": _count(usage, "total_tokens") or read + written,
    }


def _count(counts: object, name: str) -> int:
    """A count of tokens; 0 where the model tells none that can be one."""
    count = counts.get(name) if isinstance(counts, dict) else None
    return count if is_count(count) else 0
