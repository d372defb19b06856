"""The next best expert where the best one fails, is full or is slow: asked by rank until one answers."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from coe_ray.core.errors import (
    BadCall,
    CallError,
    CallTimeout,
    ConnectionFault,
    ContentFiltered,
    ContextTooLong,
    RateLimited,
)
from coe_ray.core.fail_fast import fail_fast
from coe_ray.core.types import Attempt

log = logging.getLogger("ray.serve")  # whose handlers write the replicas' log files

Result = TypeVar("Result")

FAILURES = 3
"""Failures in a row after which an expert rests."""

REST_S = 5.0
"""How long it then comes last, in seconds, until one request tries it again: what has been mended is used soon."""


_THE_ASKERS = (BadCall, ContextTooLong, ContentFiltered)
"""Errors that may be the question's fault: nobody must be able to send an expert to rest by them."""


_THE_MODELS = (ConnectionFault, CallTimeout, RateLimited)
"""Errors that every other expert of the same model would meet as well."""


@dataclass(frozen=True, slots=True)
class ExpertAnswer(Generic[Result]):
    """What an expert gave, and who was asked before it in vain."""

    expert: str
    result: Result
    tried: tuple[Attempt, ...]


@dataclass(slots=True)
class _Form:
    """How an expert has done of late."""

    failures: int = 0
    rests_until: float = 0.0


class Failover:
    """Asks by rank. An expert that failed `FAILURES` times in a row comes last for `REST_S` seconds.

    Each but the last has `after_s` seconds, or half of what is left where that is less. The event loop's clock is meant
    wherever a time is given.
    """

    def __init__(self, after_s: float, models: Mapping[str, str]) -> None:
        """`models`: each expert's model. What one model cannot do now, another expert of the same cannot either."""
        self._after_s = after_s
        self._models = models
        self._forms: dict[str, _Form] = {}
        self._answered: dict[str, float] = {}

    async def first(
        self, by_rank: Sequence[str], ask: Callable[[str], Awaitable[Result]], ends_at: float
    ) -> ExpertAnswer[Result]:
        """The first answer, at `ends_at` at the latest.

        Raises the last expert's `CallError`, which names all that were tried; `ContentFiltered` at once.
        """
        tried: list[Attempt] = []
        experts = self._in_order(by_rank)
        while experts:
            expert, *experts = experts
            began = _now()
            try:
                result = await self._asked(expert, ask, ends_at, others=len(experts))
            except CallError as error:
                tried.append(Attempt(expert, type(error).__name__, str(error), round(_now() - began, 4)))
                # What a filter stopped is not tried out on other providers.
                if not experts or isinstance(error, ContentFiltered):
                    error.message += _blame(tried)
                    error.tried = tuple(tried)
                    raise
                log.warning("expert %r: %s; the next best is asked", expert, error)
                if error.stops or isinstance(error, _THE_MODELS):
                    experts = self._others_first(expert, experts)
            else:
                return ExpertAnswer(expert, result, tuple(tried))
        raise ValueError("there is nobody to ask")

    async def _asked(self, expert: str, ask: Callable[[str], Awaitable[Result]], ends_at: float, others: int) -> Result:
        if not others:
            return await self._noted(expert, ask)  # the request's own deadline bounds it
        began = _now()
        limit = min(self._after_s, (ends_at - began) / 2)
        try:
            async with asyncio.timeout(limit):
                with fail_fast():
                    return await self._noted(expert, ask)
        except TimeoutError:
            # Less is the hurry of who asked; and who answered others meanwhile is slow with this question only.
            if limit == self._after_s and self._answered.get(expert, -math.inf) < began:
                self._failed(expert)
            raise CallTimeout(expert, f"no answer within {limit:.3g} s") from None

    async def _noted(self, expert: str, ask: Callable[[str], Awaitable[Result]]) -> Result:
        try:
            result = await ask(expert)
        except BaseException as error:
            if isinstance(error, CallError) and not isinstance(error, _THE_ASKERS):
                self._failed(expert)
            else:
                self._wake(expert)
            raise
        self._forms.pop(expert, None)
        self._answered[expert] = _now()
        return result

    def _in_order(self, by_rank: Sequence[str]) -> list[str]:
        """By rank, those that rest last. One whose rest is over is tried by one request before others follow."""
        now = _now()
        resting = {expert for expert in by_rank if expert in self._forms and self._forms[expert].rests_until > now}
        for expert in by_rank:
            if expert not in resting:
                self._on_trial(expert)
                break
        return sorted(by_rank, key=lambda expert: expert in resting)

    def _others_first(self, failed: str, experts: Sequence[str]) -> list[str]:
        """Those of the model that just failed last."""
        return sorted(experts, key=lambda expert: self._models[expert] == self._models[failed])

    def _on_trial(self, expert: str) -> None:
        form = self._forms.get(expert)
        if form and form.failures >= FAILURES:
            form.rests_until = _now() + max(REST_S, self._after_s)  # or until this request knows

    def _wake(self, expert: str) -> None:
        """Its trial told nothing: the client left, or the question was wrong. The next request is one."""
        if form := self._forms.get(expert):
            form.rests_until = 0.0

    def _failed(self, expert: str) -> None:
        form = self._forms.setdefault(expert, _Form())
        form.failures += 1
        if form.failures >= FAILURES:
            form.rests_until = _now() + REST_S


def _blame(tried: Sequence[Attempt]) -> str:
    *earlier, last = tried
    before = ", ".join(f"{each.expert!r}: {each.error}" for each in earlier)
    return f" (expert {last.expert!r}; tried before it: {before})" if before else f" (expert {last.expert!r})"


def _now() -> float:
    return asyncio.get_running_loop().time()
