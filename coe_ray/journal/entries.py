"""Lines of a journal: JSON objects, one a line, of four kinds; prompts are in a file of their own.

    {"issued": key, "model": …, "at": …, "prompt": hash}     a request leaves
    {"key": key, "model": …, "at": …, "answer": {…}}         it was answered
    {"key": key, "model": …, "at": …, "failure": {…}}        it failed for good
    {"reused": key, "model": …, "at": …}                     it was answered out of the journal
    {"prompt": hash, "messages": […], "choices": […]}        in the file of prompts

Keys and hashes are 16 bytes in hexadecimal, `at` is in seconds since 1970.
"""

import hashlib
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from types import MappingProxyType, NoneType
from typing import Any, Literal, NamedTuple, TypeAlias

import orjson

from coe_ray.core.counts import is_count, parse_token_logprobs, parse_usage
from coe_ray.core.errors import CallError, ContentFiltered, call_error
from coe_ray.core.types import Call, Completion

HASH_BYTES = 16

_ANSWER = tuple(field.name for field in fields(Completion))
_FAILURE = tuple(CallError("", "").fields())

CallOutcome: TypeAlias = Completion | CallError
"""The outcome of a finished call."""

Part: TypeAlias = Literal["choices", "question"]
"""Parts of a call that only some models read, beside its messages and settings."""

PARTS: frozenset[Part] = frozenset({"choices", "question"})


class JournalEntry(NamedTuple):
    """A line read back. `fields` are those of the answer or failure, as written; empty for the other kinds."""

    kind: Literal["issued", "answer", "failure", "reused"]
    key: bytes
    model: str
    at: float
    fields: Mapping[str, Any] = MappingProxyType({})

    @property
    def is_answered(self) -> bool:
        """As `is_answer` of the outcome, without making it."""
        return self.kind == "answer" or self.fields.get("error") == ContentFiltered.__name__

    @property
    def outcome(self) -> CallOutcome | None:
        """The answer or error; built on demand, as most entries are only counted or indexed."""
        fields = self.fields
        if self.kind == "answer":
            usage = parse_usage(fields.get("usage"))
            first_token = parse_token_logprobs(fields.get("first_token"))
            return Completion(**{**_known(_ANSWER, fields), "usage": usage, "first_token": first_token})
        if self.kind == "failure":
            return call_error(fields["error"], self.model, fields["message"], _known(_FAILURE, fields))
        return None


def call_key(identity: Mapping[str, object], call: Call, reads: Collection[Part] = PARTS) -> bytes:
    """The key of a call: 16 bytes, a hash of the model's identity, the whole prompt and the settings.

    `reads` are the other parts that the model is sent; parts that it is not sent cannot change its answer. Of
    `call.question` the id counts. Raises `orjson.JSONEncodeError` for what JSON cannot hold, such as half a
    surrogate pair.
    """
    choices = call.choices if "choices" in reads else ()
    question = call.question.id if call.question and "question" in reads else None
    content = [dict(identity), call.messages, choices, call.parameters, question]
    return _hash(orjson.dumps(content, option=orjson.OPT_SORT_KEYS))


def is_answer(outcome: CallOutcome) -> bool:
    """Whether it is an answer or a refusal: final, and not replaced by a later failure of the same call."""
    return isinstance(outcome, Completion | ContentFiltered)


def prompt_hash(call: Call) -> bytes:
    """The key of a prompt in the file of prompts: 16 bytes."""
    return _hash(orjson.dumps((call.messages, call.choices)))


def prompt_line(hashed: bytes, call: Call) -> bytes:
    return _line({"prompt": hashed.hex(), "messages": call.messages, "choices": call.choices})


def issued_line(key: bytes, model: str, prompt: bytes) -> bytes:
    return _line({"issued": key.hex(), "model": model, "at": time.time(), "prompt": prompt.hex()})


def finished_line(key: bytes, model: str, at: float, outcome: CallOutcome) -> bytes:
    """Raises `orjson.JSONEncodeError` for what JSON cannot hold, such as half a surrogate pair."""
    content = {"answer": outcome} if isinstance(outcome, Completion) else {"failure": _error_fields(outcome)}
    return _line({"key": key.hex(), "model": model, "at": at, **content})


def reused_line(key: bytes, model: str) -> bytes:
    return _line({"reused": key.hex(), "model": model, "at": time.time()})


def parse_entry(line: bytes) -> JournalEntry | None:
    """The entry that a line holds; `None` where it holds none."""
    try:
        return _entry(orjson.loads(line))
    except (ValueError, TypeError, LookupError, AttributeError):  # whatever a broken disk may have made of it
        return None


def _entry(content: dict[str, Any]) -> JournalEntry:
    if "answer" in content:
        return JournalEntry("answer", *_head(content, "key"), _checked(content["answer"], "text"))
    if "failure" in content:
        return JournalEntry("failure", *_head(content, "key"), _checked(content["failure"], "error", "message"))
    kind: Literal["issued", "reused"] = "issued" if "issued" in content else "reused"
    return JournalEntry(kind, *_head(content, kind))


def _head(content: dict[str, Any], name: str) -> tuple[bytes, str, float]:
    key = bytes.fromhex(content[name])
    if len(key) != HASH_BYTES:
        raise ValueError(f"a key of {len(key)} bytes")
    model, at = content["model"], content["at"]
    if type(model) is not str or type(at) not in (int, float):
        raise TypeError(f"model {model!r} at {at!r}")
    return key, model, float(at)


_TYPES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("text", "finish_reason", "error", "message", "body"), (str,)),
    "refusal": (str, NoneType),
    "attempts": (int,),
    "seconds": (int, float),
    "status": (int, NoneType),
    "retry_after": (int, float, NoneType),
}
"""Exact types of the fields of answers and failures (`True` is no int); `parse_usage` checks the tokens in `usage`."""


def _checked(fields: dict[str, Any], *required: str) -> dict[str, Any]:
    """`fields`, if the required ones are there and the known ones have the right types."""
    if any(name not in fields for name in required):
        raise LookupError(f"one of {required} is missing")
    for name, value in fields.items():
        counts = name in ("attempts", "status") and value is not None
        if name in _TYPES and (type(value) not in _TYPES[name] or (counts and not is_count(value))):
            raise TypeError(f"{name} is {value!r}")
    return fields


def _known(names: Iterable[str], fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that this version knows: another version may have written more."""
    return {name: fields[name] for name in names if name in fields}


def _error_fields(error: CallError) -> dict[str, Any]:
    return {"error": type(error).__name__, "message": error.message, **error.fields()}


def _line(fields: dict[str, object]) -> bytes:
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def _hash(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=HASH_BYTES).digest()
