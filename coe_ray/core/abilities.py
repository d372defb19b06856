"""What an expert can read, and what a request needs to be read."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

from coe_ray.core.types import Call

Ability: TypeAlias = Literal["choice", "text", "tools", "images", "json"]
"""Multiple-choice questions, free text, tools, parts that are not text, and a reply in JSON."""

ALL_ABILITIES: frozenset[Ability] = frozenset({"choice", "text", "tools", "images", "json"})

CHARS_PER_TOKEN = 4
"""ASCII characters of a token, about; every other character counts as one token."""


def needed_abilities(call: Call) -> frozenset[Ability]:
    """What an expert must be able to read to answer `call`."""
    return frozenset(_needed(call))


def _needed(call: Call) -> Iterator[Ability]:
    yield "choice" if call.question and call.question.options else "text"
    request = call.request or {}
    messages = request.get("messages", ())
    if any(request.get(name) for name in ("tools", "functions")) or any(map(_is_of_a_tool, messages)):
        yield "tools"
    if any(map(_has_other_parts, messages)):
        yield "images"
    if isinstance(form := request.get("response_format"), Mapping) and form.get("type") not in (None, "text"):
        yield "json"


def _is_of_a_tool(message: Mapping[str, Any]) -> bool:
    return message["role"] in ("tool", "function") or bool(message.get("tool_calls"))


def _has_other_parts(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    return isinstance(content, list) and any(part.get("type") not in ("text", "refusal") for part in content)


def estimate_tokens(call: Call) -> int:
    """Tokens of the call's text, about: enough to leave out an expert whose context is far too short."""
    return sum(_tokens(message.content) for message in call.messages)


def _tokens(text: str) -> int:
    if text.isascii():
        return len(text) // CHARS_PER_TOKEN
    ascii_count = len(text.encode("ascii", "ignore"))
    return ascii_count // CHARS_PER_TOKEN + len(text) - ascii_count
