"""The project's only retry policy: whether a call to a model is tried again, when, and until when.

One decision an object, put together by `call_with_retry`: whether (`should_retry`), when (`JitteredBackoff`) and until
when (tenacity's `stop_after_attempt`, `StopOnSameError`, `StopOutOfTime`). Only a `CallError` whose class is
`retryable` is tried again; everything else passes untouched, cancellation too.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt
from tenacity.stop import stop_base
from tenacity.wait import wait_base, wait_random_exponential

from coe_ray.core.call_activity import CallActivity
from coe_ray.core.errors import CallError, RateLimited
from coe_ray.core.fail_fast import FAIL_FAST_ATTEMPTS, must_fail_fast

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
    """Bounds of one try, in seconds: to be connected, to wait for a byte (first or next), and in all."""

    connect_s: float = 10.0
    first_byte_s: float = 120.0
    total_s: float = 300.0


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


class JitteredBackoff(wait_base):
    """Wait strategy: full jitter on top of the provider's Retry-After.

    On top, because callers that all got "in 20 seconds" must not come back in the same instant.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self._jitter = wait_random_exponential(multiplier=policy.base_s, exp_base=3, max=policy.max_s)

    def __call__(self, retry_state: RetryCallState) -> float:
        return (_error_of(retry_state).retry_after or 0.0) + self._jitter(retry_state)


class StopOnSameError(stop_base):
    """Stop strategy: the same class and message came `times` times in a row, which is no accident.

    A request that always breaks the server, or an answer that is always cut off, may be paid for with each try.
    `RateLimited` does not count: one more of them says nothing new.
    """

    def __init__(self, times: int) -> None:
        self._times = times
        self._last: tuple[type[CallError], str] | None = None
        self._seen = 0

    def __call__(self, retry_state: RetryCallState) -> bool:
        error = _error_of(retry_state)
        if isinstance(error, RateLimited):
            return False
        now = (type(error), error.message)
        self._seen = self._seen + 1 if now == self._last else 1
        self._last = now
        return self._seen >= self._times


class StopOutOfTime(stop_base):
    """Stop strategy: the next try would begin after `total_s`. A long Retry-After thus fails at once."""

    def __init__(self, total_s: float, watch: Stopwatch) -> None:
        self._total_s = total_s
        self._watch = watch

    def __call__(self, retry_state: RetryCallState) -> bool:
        return self._watch.seconds + retry_state.upcoming_sleep >= self._total_s


class BackoffSleep:
    """The wait between two tries: logged, and counted in `activity` by the class of the error before it."""

    def __init__(self, activity: CallActivity | None) -> None:
        self._activity = activity or CallActivity()
        self._reason = ""

    def log_wait(self, state: RetryCallState) -> None:
        error = _error_of(state)
        self._reason = type(error).__name__
        log.info("%s; tried again in %.1f s", error, state.upcoming_sleep)

    async def __call__(self, seconds: float) -> None:
        with self._activity.count_backing_off(self._reason):
            await asyncio.sleep(seconds)


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
    try:
        with count_attempts(1):
            return await once(), 1
    except CallError as error:
        if not should_retry(error):
            raise
        first = error
    if must_fail_fast():
        policy = replace(policy, attempts=min(policy.attempts, FAIL_FAST_ATTEMPTS))
    return await _retry_after(first, _make_retrying(policy, BackoffSleep(activity), watch), once)


async def _retry_after(
    first: CallError, retrying: AsyncRetrying, once: Callable[[], Awaitable[Result]]
) -> tuple[Result, int]:
    """The tries after the first. Most calls need none, and setting up tenacity takes longer than a request."""
    async for attempt in retrying:
        number = attempt.retry_state.attempt_number
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


def _make_retrying(policy: RetryPolicy, sleep: BackoffSleep, watch: Stopwatch) -> AsyncRetrying:
    return AsyncRetrying(
        retry=retry_if_exception(should_retry),
        wait=JitteredBackoff(policy),
        stop=stop_after_attempt(policy.attempts)
        | StopOnSameError(policy.same_error)
        | StopOutOfTime(policy.total_s, watch),
        sleep=sleep,
        before_sleep=sleep.log_wait,
        reraise=True,
    )


def _error_of(state: RetryCallState) -> CallError:
    """The error of the try that just ended: `should_retry` lets only these through."""
    error = state.outcome.exception() if state.outcome else None
    if not isinstance(error, CallError):
        raise TypeError(f"a try that ended with {error!r} is not tried again")
    return error
