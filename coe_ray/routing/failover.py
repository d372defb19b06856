"""Failover: experts are called by rank until one answers; the next one where an expert fails, is full or is slow."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from coe_ray.core.breaker import CircuitBreaker
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
"""How long it is then called last, in seconds, until one request tries it again: a repaired expert is soon used."""

CLIENT_ERRORS = (BadCall, ContextTooLong, ContentFiltered)
"""Errors that may be the question's fault. They never make an expert rest: any client could cause that."""

MODEL_WIDE_ERRORS = (ConnectionFault, CallTimeout, RateLimited)
"""Errors that every other expert of the same model would meet as well."""


@dataclass(frozen=True, slots=True)
class ExpertAnswer(Generic[Result]):
    """An expert's result, and the failed attempts before it."""

    expert: str
    result: Result
    tried: tuple[Attempt, ...]


class Failover:
    """Calls by rank. An expert that failed `FAILURES` times in a row is called last for `REST_S` seconds.

    Every expert but the last has `after_s` seconds, or half of the time left if that is less. All times are of the
    event loop's clock.
    """

    def __init__(self, after_s: float, models: Mapping[str, str]) -> None:
        """`models` is each expert's model: a model that fails now fails for its other experts too."""
        self._after_s = after_s
        self._models = models
        self._breakers = {expert: CircuitBreaker(FAILURES, REST_S, _now) for expert in models}
        self._answered_at: dict[str, float] = {}

    async def first_answer(
        self, by_rank: Sequence[str], call: Callable[[str], Awaitable[Result]], ends_at: float
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
                result = await self._call_in_time(expert, call, ends_at, is_last=not experts)
            except CallError as error:
                tried.append(Attempt(expert, type(error).__name__, str(error), round(_now() - began, 4)))
                # Filtered content is not sent to further providers.
                if not experts or isinstance(error, ContentFiltered):
                    error.message += _describe_attempts(tried)
                    error.tried = tuple(tried)
                    raise
                log.warning("expert %r: %s; calling the next best", expert, error)
                if error.stops or isinstance(error, MODEL_WIDE_ERRORS):
                    experts.sort(key=lambda other: self._models[other] == self._models[expert])
            else:
                return ExpertAnswer(expert, result, tuple(tried))
        raise ValueError("no experts to call")

    async def _call_in_time(
        self, expert: str, call: Callable[[str], Awaitable[Result]], ends_at: float, *, is_last: bool
    ) -> Result:
        if is_last:
            return await self._call_and_record(expert, call)  # the request's own deadline bounds it
        began = _now()
        limit = min(self._after_s, (ends_at - began) / 2)
        try:
            async with asyncio.timeout(limit):
                with fail_fast():
                    return await self._call_and_record(expert, call)
        except TimeoutError:
            # A shorter limit is the client's hurry; an expert that answered others meanwhile is slow on this question.
            if limit == self._after_s and self._answered_at.get(expert, -math.inf) < began:
                self._breakers[expert].record_failure()
            raise CallTimeout(expert, f"no answer within {limit:.3g} s") from None

    async def _call_and_record(self, expert: str, call: Callable[[str], Awaitable[Result]]) -> Result:
        breaker = self._breakers[expert]
        try:
            result = await call(expert)
        except BaseException as error:
            if isinstance(error, CallError) and not isinstance(error, CLIENT_ERRORS):
                breaker.record_failure()
            else:  # the client left, or the question was wrong
                breaker.record_inconclusive()
            raise
        breaker.record_success()
        self._answered_at[expert] = _now()
        return result

    def _in_order(self, by_rank: Sequence[str]) -> list[str]:
        """By rank, resting experts last. If the first one's rest is over, this request alone tries it."""
        order = sorted(by_rank, key=lambda expert: self._breakers[expert].is_resting)
        if order and not self._breakers[order[0]].is_resting:
            self._breakers[order[0]].begin_trial(self._after_s)
        return order


def _describe_attempts(tried: Sequence[Attempt]) -> str:
    *earlier, last = tried
    before = ", ".join(f"{attempt.expert!r}: {attempt.error}" for attempt in earlier)
    return f" (expert {last.expert!r}; tried before it: {before})" if before else f" (expert {last.expert!r})"


def _now() -> float:
    return asyncio.get_running_loop().time()
