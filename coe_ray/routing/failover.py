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
    CannotAnswer,
    ConnectionFault,
    ContentFiltered,
    ContextTooLong,
    RateLimited,
)
from coe_ray.core.fail_fast import RetryBudget, fail_fast, on_life, retry_budget
from coe_ray.core.types import Attempt

log = logging.getLogger("ray.serve")  # whose handlers write the replicas' log files

Result = TypeVar("Result")

FAILURES = 3
"""Failures in a row after which an expert rests."""

REST_S = 5.0
"""How long it is then called last, in seconds, until one request tries it again: a repaired expert is soon used."""

CLIENT_ERRORS = (BadCall, CannotAnswer, ContextTooLong, ContentFiltered)
"""Errors that may be the question's fault. They never make an expert rest: any client could cause that."""

USUAL_TIMES = 3.0
"""A whole answer may take so many times what its expert usually takes, before the next one is called."""

MAX_TIMEOUTS = 2
"""Experts that are left because a whole answer took them too long: a long answer is not asked of everybody in turn."""

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

    Every expert but the last has `after_s` seconds to its first sign of life and between signs, or half of the time
    left if that is less. A whole answer shows none until it is there, so it may also take `USUAL_TIMES` times as long
    as usual. All times are of the event loop's clock.
    """

    def __init__(self, after_s: float, models: Mapping[str, str]) -> None:
        """`models` is each expert's model: a model that fails now fails for its other experts too."""
        self._after_s = after_s
        self._models = models
        self._breakers = {expert: CircuitBreaker(FAILURES, REST_S, _now) for expert in models}
        self._answered_at: dict[str, float] = {}
        self._usual_s: dict[str, float] = {}

    async def first_answer(
        self,
        by_rank: Sequence[str],
        call: Callable[[str], Awaitable[Result]],
        ends_at: float,
        *,
        is_whole: bool = False,
    ) -> ExpertAnswer[Result]:
        """The first answer, at `ends_at` at the latest; `is_whole` where it is no stream.

        Raises the last expert's `CallError`, which names all that were tried; `ContentFiltered` at once.
        """
        with retry_budget() as budget:
            return await self._call_by_rank(self._in_order(by_rank), call, ends_at, budget, is_whole=is_whole)

    async def _call_by_rank(
        self,
        experts: list[str],
        call: Callable[[str], Awaitable[Result]],
        ends_at: float,
        budget: RetryBudget,
        *,
        is_whole: bool,
    ) -> ExpertAnswer[Result]:
        tried: list[Attempt] = []
        timeouts = 0
        while experts:
            expert, *experts = experts
            began = _now()
            usual_s = self._usual_s.get(expert, 0.0) if is_whole else 0.0
            is_last = not experts or timeouts >= MAX_TIMEOUTS
            try:
                result = await self._call_in_time(expert, call, ends_at, usual_s, is_last=is_last)
            except CallError as error:
                tried.append(Attempt(expert, type(error).__name__, str(error), round(_now() - began, 4)))
                # Filtered content is not sent to further providers.
                if is_last or budget.attempts <= 0 or isinstance(error, ContentFiltered):
                    error.message += _describe_attempts(tried)
                    error.tried = tuple(tried)
                    raise
                log.warning("expert %r: %s; calling the next best", expert, error)
                timeouts += is_whole and isinstance(error, CallTimeout)
                if error.stops or isinstance(error, MODEL_WIDE_ERRORS):
                    experts.sort(key=lambda other: self._models[other] == self._models[expert])
            else:
                if is_whole:
                    self._usual_s[expert] = usual_s + (_now() - began - usual_s) * (0.2 if usual_s else 1.0)
                return ExpertAnswer(expert, result, tuple(tried))
        raise ValueError("no experts to call")

    async def _call_in_time(
        self,
        expert: str,
        call: Callable[[str], Awaitable[Result]],
        ends_at: float,
        usual_s: float,
        *,
        is_last: bool,
    ) -> Result:
        if is_last:
            return await self._call_and_record(expert, call)  # the request's own deadline bounds it
        began = _now()
        limit = min(max(self._after_s, USUAL_TIMES * usual_s), (ends_at - began) / 2)
        try:
            async with asyncio.timeout(limit) as timer:
                with fail_fast(), on_life(lambda: timer.reschedule(_now() + limit)):
                    return await self._call_and_record(expert, call)
        except TimeoutError:
            # A shorter limit is the client's hurry; an expert that answered others meanwhile is slow on this question.
            if limit >= self._after_s and self._answered_at.get(expert, -math.inf) < began:
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
