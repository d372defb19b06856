"""The lines of a journal: JSON objects, one a line, of three kinds, and the prompts in a file of their own.

    {"issued": key, "model": …, "at": …, "prompt": hash}     a request leaves
    {"key": key, "model": …, "at": …, "answer": {…}}         it was answered
    {"key": key, "model": …, "at": …, "failure": {…}}        it failed for good
    {"reused": key, "model": …, "at": …}                     it was answered out of the journal
    {"prompt": hash, "messages": […], "choices": […]}        in the file of prompts

Keys and hashes are 16 bytes in hexadecimal, `at` is in seconds since 1970.
"""

import hashlib
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias

import orjson

from coe_ray.core.counts import is_count, tokens_in, usage_in
from coe_ray.core.errors import CallError, ContentFiltered, call_error
from coe_ray.core.types import Call, Completion

HASH_BYTES = 16

_ANSWER = tuple(field.name for field in fields(Completion))
_FAILURE = tuple(CallError("", "").fields())

CallOutcome: TypeAlias = Completion | CallError
"""What becomes of a finished call."""

Part: TypeAlias = Literal["choices", "question"]
"""What some models read of a call beside its messages and settings."""

PARTS: frozenset[Part] = frozenset({"choices", "question"})


class JournalEntry(NamedTuple):
    """A line read back. `told` is the answer or the failure as it stands there, empty for the other kinds."""

    kind: Literal["issued", "answer", "failure", "reused"]
    key: bytes
    model: str
    at: float
    told: Mapping[str, Any] = MappingProxyType({})

    @property
    def is_answered(self) -> bool:
        """As `is_answer` of the outcome, without making it."""
        return self.kind == "answer" or self.told.get("error") == ContentFiltered.__name__

    @property
    def outcome(self) -> CallOutcome | None:
        """What the call came to; made when asked for, as most records are only counted or indexed."""
        if self.kind == "answer":
            told = self.told
            read = {"usage": usage_in(told.get("usage")), "first_token": tokens_in(told.get("first_token"))}
            return Completion(**{**_known(_ANSWER, told), **read})
        if self.kind == "failure":
            return call_error(self.told["error"], self.model, self.told["message"], _known(_FAILURE, self.told))
        return None


def call_key(identity: Mapping[str, object], call: Call, reads: Collection[Part] = PARTS) -> bytes:
    """What a call is found by: 16 bytes out of the model's identity, the whole prompt and the settings.

    `reads` are the other parts of a call that the model reads: what it is not sent cannot change what it says. Of
    `call.question` the id counts. Raises `orjson.JSONEncodeError` for what JSON cannot hold, such as half a
    surrogate pair.
    """
    choices = call.choices if "choices" in reads else ()
    question = call.question.id if call.question and "question" in reads else None
    told = [dict(identity), call.messages, choices, call.parameters, question]
    return _hash(orjson.dumps(told, option=orjson.OPT_SORT_KEYS))


def is_answer(outcome: CallOutcome) -> bool:
    """Whether it is an answer or a refusal: used for good, and undone by no failure of the same call."""
    return isinstance(outcome, Completion | ContentFiltered)


def prompt_hash(call: Call) -> bytes:
    """What a prompt is found by in the file of prompts: 16 bytes."""
    return _hash(orjson.dumps((call.messages, call.choices)))


def prompt_line(hashed: bytes, call: Call) -> bytes:
    return _line({"prompt": hashed.hex(), "messages": call.messages, "choices": call.choices})


def issued_line(key: bytes, model: str, prompt: bytes) -> bytes:
    return _line({"issued": key.hex(), "model": model, "at": time.time(), "prompt": prompt.hex()})


def finished_line(key: bytes, model: str, at: float, outcome: CallOutcome) -> bytes:
    """Raises `orjson.JSONEncodeError` for what JSON cannot hold, such as half a surrogate pair."""
    told = {"answer": outcome} if isinstance(outcome, Completion) else {"failure": _plain(outcome)}
    return _line({"key": key.hex(), "model": model, "at": at, **told})


def reused_line(key: bytes, model: str) -> bytes:
    return _line({"reused": key.hex(), "model": model, "at": time.time()})


def record_in(line: bytes) -> JournalEntry | None:
    """The record that a line holds; `None` where it holds none."""
    try:
        return _record(orjson.loads(line))
    except (ValueError, TypeError, LookupError, AttributeError):  # whatever a broken disk may have made of it
        return None


def _record(read: dict[str, Any]) -> JournalEntry:
    if "answer" in read:
        return JournalEntry("answer", *_head(read, "key"), _checked(read["answer"], "text"))
    if "failure" in read:
        return JournalEntry("failure", *_head(read, "key"), _checked(read["failure"], "error", "message"))
    kind: Literal["issued", "reused"] = "issued" if "issued" in read else "reused"
    return JournalEntry(kind, *_head(read, kind))


def _head(read: dict[str, Any], name: str) -> tuple[bytes, str, float]:
    key = bytes.fromhex(read[name])
    if len(key) != HASH_BYTES:
        raise ValueError(f"{len(key)} bytes are no key")
    model, at = read["model"], read["at"]
    if not (_is_text(model) and _is_number(at)):
        raise TypeError(f"{model!r} is no name, or {at!r} no time")
    return key, model, float(at)


def _checked(told: dict[str, Any], *needed: str) -> dict[str, Any]:
    """`told` where it holds what is `needed`, and what this version knows is of its type."""
    if any(name not in told for name in needed):
        raise LookupError(f"no {needed}")
    for name, value in told.items():
        if (is_right := _CHECKS.get(name)) and not is_right(value):
            raise TypeError(f"{name} is {value!r}")
    return told


def _is_text(value: object) -> bool:
    return type(value) is str


def _is_text_or_none(value: object) -> bool:
    return value is None or type(value) is str


def _is_number(value: object) -> bool:
    return type(value) in (int, float)  # not isinstance: `True` is an int


def _is_number_or_none(value: object) -> bool:
    return value is None or _is_number(value)


def _is_count_or_none(value: object) -> bool:
    return value is None or is_count(value)


_CHECKS: Mapping[str, Callable[[object], bool]] = {
    "text": _is_text,
    "finish_reason": _is_text,
    "refusal": _is_text_or_none,
    "attempts": is_count,
    "seconds": _is_number,
    "error": _is_text,
    "message": _is_text,
    "status": _is_count_or_none,
    "retry_after": _is_number_or_none,
    "body": _is_text,
}
"""The fields of answers and failures; the tokens in `usage` are `usage_in`'s to judge."""


def _known(names: Iterable[str], told: Mapping[str, Any]) -> dict[str, Any]:
    """What this version knows, out of what another may have written."""
    return {name: told[name] for name in names if name in told}


def _plain(error: CallError) -> dict[str, Any]:
    return {"error": type(error).__name__, "message": error.message, **error.fields()}


def _line(fields: dict[str, object]) -> bytes:
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def _hash(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=HASH_BYTES).digest()
