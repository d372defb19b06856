"""`ChatModel`, the protocol of everything that answers calls; and a scripted model for tests."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from coe_ray.core.errors import CoeError, ServerFault
from coe_ray.core.types import Call, Completion, Delta, Usage


@runtime_checkable
class ChatModel(Protocol):
    """A source of answers. Raises `CallError` where there is none; never returns an empty answer in its place.

    `reads`, a set of abilities, says what a model can read; one without it reads everything.
    """

    @property
    def name(self) -> str: ...

    async def complete(self, call: Call) -> Completion:
        """The whole answer to `call`."""
        ...

    def stream(self, call: Call) -> AsyncIterator[Delta]:
        """The answer piece by piece; the last piece carries the finish reason."""
        ...


async def stream_completion(model: ChatModel, call: Call) -> AsyncIterator[Delta]:
    """`stream` of a model that has its answer all at once: one piece."""
    completion = await model.complete(call)
    yield Delta(completion.text, completion.finish_reason, completion.usage)


@dataclass(frozen=True, slots=True)
class ScriptRule:
    """Answers `reply` (a template: `\\1` is the first group) where `pattern` matches in the last message, or fails."""

    pattern: re.Pattern[str]
    reply: str
    fails: bool = False


class ScriptedModel:
    """Chat model that follows a script, for tests: the first rule whose pattern matches wins."""

    def __init__(self, name: str, rules: Sequence[ScriptRule], delay_s: float = 0.0) -> None:
        self.name = name
        self._rules = rules
        self._delay_s = delay_s

    async def complete(self, call: Call) -> Completion:
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        text = call.messages[-1].content
        for rule in self._rules:
            if match := rule.pattern.search(text):
                if rule.fails:
                    raise ServerFault(self.name, rule.reply, status=503)
                reply = match.expand(rule.reply)
                return Completion(reply, usage=Usage(len(text.split()), len(reply.split())))
        raise CoeError(f"scripted model {self.name!r} has no rule for: {text[:200]!r}; add a last rule '.'")

    async def stream(self, call: Call) -> AsyncIterator[Delta]:
        completion = await self.complete(call)
        for word in re.findall(r"\s*\S+|\s+$", completion.text):
            yield Delta(word)
        yield Delta("", completion.finish_reason, completion.usage)
