"""The project's only retry policy: whether a call to a model is tried again, when, and until when.

Only a `CallError` whose class is `retryable` is tried again; everything else passes untouched, cancellation too.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar, cast

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception
from tenacity.wait import wait_random_exponential

from coe_ray.core.call_activity import CallActivity
from coe_ray.core.errors import CallError, RateLimited
from coe_ray.core.fail_fast import FAIL_FAST_ATTEMPTS, MODEL_ATTEMPTS, RetryBudget, current_budget, must_fail_fast

log = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `attempts` tries, none begun later than `total_s` seconds after the first.

    The same error `same_error` times in a row ends it, too (`StopOnSameError`). The wait before try n + 1 is random,
    up to `base_s` * 3^(n-1) seconds and at most `max_s` (full jitter): a short fault costs little, and a server that
    restarts gets 15 seconds on average. A provider's Retry-After is waited for first, and is not capped by `max_s`.
    """

    attempts: int = 8
    total_s: float = 300.0
    same_error: int = 6
    base_s: float = 0.25
    max_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Bounds of one try, in seconds: to be connected, to wait for a stream's byte (first or next), for a whole reply.

    A stream that goes on has no bound in all.
    """

    connect_s: float = 10.0
    first_byte_s: float = 120.0
    total_s: float = 300.0

    @property
    def of_whole(self) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=self.total_s, connect=self.connect_s)

    @property
    def of_stream(self) -> aiohttp.ClientTimeout:
        silence_s = min(self.first_byte_s, self.total_s)
        return aiohttp.ClientTimeout(connect=self.connect_s, sock_read=silence_s)


class Stopwatch:
    """Stopwatch of one call from its first try on, without the time in a limiter's queue: that is no failure."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def exclude(self, seconds: float) -> None:
        """Leave out these seconds, which have just passed."""
        self._begun += seconds

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun


class StopOnSameError:
    """Stop strategy: the same class and message came `times` times in a row, which is no accident.

    A request that always breaks the server, or an answer that is always cut off, may be paid for with each try.
    `RateLimited` does not count: one more of them says nothing new.
    """

    def __init__(self, times: int) -> None:
        self._times = times
        self._last: tuple[type[CallError], str] | None = None
        self._seen = 0

    def __call__(self, state: RetryCallState) -> bool:
        error = _error_of(state)
        if isinstance(error, RateLimited):
            return False
        now = (type(error), error.message)
        self._seen = self._seen + 1 if now == self._last else 1
        self._last = now
        return self._seen >= self._times


def backoff_s(policy: RetryPolicy, state: RetryCallState) -> float:
    """Seconds until the next try: full jitter on top of the provider's Retry-After.

    On top, because callers that all got "in 20 seconds" must not come back in the same instant.
    """
    jitter = wait_random_exponential(multiplier=policy.base_s, exp_base=3, max=policy.max_s)
    return (_error_of(state).retry_after or 0.0) + jitter(state)


def should_retry(error: BaseException) -> bool:
    """Whether another try can help, and no other expert should be asked instead."""
    if isinstance(error, RateLimited) and must_fail_fast():
        return False
    return isinstance(error, CallError) and error.retryable


async def call_with_retry(
    policy: RetryPolicy,
    once: Callable[[], Awaitable[Result]],
    activity: CallActivity | None = None,
    watch: Stopwatch | None = None,
) -> tuple[Result, int]:
    """The result of `once` and the number of tries it took. Raises the last try's error where none succeeds.

    `activity` counts the waits between tries; `watch` measures `total_s`, where some of the time must not count.
    """
    watch = watch or Stopwatch()
    budget = current_budget() or RetryBudget(policy.attempts)
    budget.attempts -= 1
    try:
        with count_attempts(1):
            return await once(), 1
    except CallError as error:
        budget.attempts += not error.attempts  # it was not sent: an open breaker, say
        if not should_retry(error):
            raise
        first = error
    # Most calls end above: setting up tenacity takes longer than a request.
    async for attempt in _make_retrying(policy, activity or CallActivity(), watch, budget):
        number = attempt.retry_state.attempt_number
        budget.attempts -= number > 1
        with attempt, count_attempts(number):
            if number == 1:
                raise first
            return await once(), number
    raise AssertionError("tenacity leaves its loop by a result or an error")


@contextmanager
def count_attempts(number: int) -> Iterator[None]:
    """Set an error's `attempts`: the number of this try, or of the tries before it where this one was not sent."""
    try:
        yield
    except CallError as error:
        error.attempts = number if error.attempts else number - 1
        # aiohttp's errors hold the request's headers, and so the key: ours must not refer to them.
        error.__context__ = None
        raise


def _make_retrying(policy: RetryPolicy, activity: CallActivity, watch: Stopwatch, budget: RetryBudget) -> AsyncRetrying:
    most = FAIL_FAST_ATTEMPTS if must_fail_fast() else MODEL_ATTEMPTS if current_budget() else policy.attempts
    attempts = min(policy.attempts, most)
    is_same_again = StopOnSameError(policy.same_error)

    def should_stop(state: RetryCallState) -> bool:
        # A long Retry-After fails at once: the next try would begin too late.
        is_out_of_time = watch.seconds + state.upcoming_sleep >= policy.total_s or not budget.may_wait(
            state.upcoming_sleep
        )
        return is_same_again(state) or is_out_of_time or state.attempt_number >= attempts or budget.attempts <= 0

    async def back_off(state: RetryCallState) -> None:
        error = _error_of(state)
        log.info("%s; tried again in %.1f s", error, state.upcoming_sleep)
        with activity.count_backing_off(type(error).__name__):
            await asyncio.sleep(state.upcoming_sleep)

    return AsyncRetrying(
        retry=retry_if_exception(should_retry),
        wait=partial(backoff_s, policy),
        stop=should_stop,
        before_sleep=back_off,
        sleep=lambda _: asyncio.sleep(0),  # `back_off` has waited: it knows the error
        reraise=True,
    )


def _error_of(state: RetryCallState) -> CallError:
    """The error of the try that just ended: `should_retry` lets only these through."""
    return cast(CallError, state.outcome.exception() if state.outcome else None)
