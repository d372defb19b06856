"""How long to wait for a model and how often to ask again: the project's only retry policy.

One decision an object, put together by `call_with_retry`: `again` says whether, `Backoff` when, and until when say
tenacity's `stop_after_attempt`, `SameError` and `OutOfTime`. Only a `CallError` whose class is `retryable` is
asked again; all else passes untouched, cancellation too.
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

from coe_ray.core.errors import CallError, RateLimited
from coe_ray.core.fail_fast import ATTEMPTS, must_fail_fast
from coe_ray.core.traffic import Traffic

log = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `attempts` tries, none begun later than `total_s` seconds after the first.

    The same error `same_error` times in a row ends it, too (see `SameError`). Before try n + 1 passes a random time
    of up to `base_s` * 3^(n-1) seconds, at most `max_s` (full jitter): a blip is over at once, and a server that is
    started anew has 15 seconds in the mean. What a provider asks for in Retry-After comes before it, and is not capped
    by `max_s`.
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
    """The time of one call from its first try on, without what it spends waiting for its turn: that is no failure."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def leave_out(self, seconds: float) -> None:
        """Not count these seconds, which have just passed."""
        self._begun += seconds

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun


class Backoff(wait_base):
    """Full jitter on top of what the provider asked for.

    On top, not instead: callers that were all told "in 20 seconds" must not come back in the same instant.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self._jitter = wait_random_exponential(multiplier=policy.base_s, exp_base=3, max=policy.max_s)

    def __call__(self, retry_state: RetryCallState) -> float:
        return (_error_of(retry_state).retry_after or 0.0) + self._jitter(retry_state)


class SameError(stop_base):
    """Stops where the same class and message come `times` times in a row: that is no accident any more.

    A request that always breaks the server, or an answer that is always cut off, may be paid for with each try.
    `RateLimited` is passed over: to be told to wait once more says nothing new.
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


class OutOfTime(stop_base):
    """Stops where the next try would begin after `total_s`: so a long Retry-After fails at once."""

    def __init__(self, total_s: float, watch: Stopwatch) -> None:
        self._total_s = total_s
        self._watch = watch

    def __call__(self, retry_state: RetryCallState) -> bool:
        return self._watch.seconds + retry_state.upcoming_sleep >= self._total_s


class Rest:
    """The sleep between two tries: logged, and counted in the traffic by the class of the error before it."""

    def __init__(self, traffic: Traffic | None) -> None:
        self._traffic = traffic or Traffic()
        self._reason = ""

    def told(self, state: RetryCallState) -> None:
        """Hear why and for how long."""
        error = _error_of(state)
        self._reason = type(error).__name__
        log.info("%s; asked again in %.1f s", error, state.upcoming_sleep)

    async def __call__(self, seconds: float) -> None:
        with self._traffic.back_off(self._reason):
            await asyncio.sleep(seconds)


def again(error: BaseException) -> bool:
    """Whether asking again can help, and is not better done elsewhere."""
    if isinstance(error, RateLimited) and must_fail_fast():
        return False
    return isinstance(error, CallError) and error.retryable


async def call_with_retry(
    policy: RetryPolicy,
    once: Callable[[], Awaitable[Result]],
    traffic: Traffic | None = None,
    watch: Stopwatch | None = None,
) -> tuple[Result, int]:
    """The result of `once` and the number of tries it took; the last try's error where none succeeds.

    `traffic` counts the waits between tries; `watch` is what `total_s` is read from, where `once` has time in it
    that is not to count.
    """
    watch = watch or Stopwatch()
    try:
        with count_attempts(1):
            return await once(), 1
    except CallError as error:
        if not again(error):
            raise
        first = error
    return await _tried_again(first, _retrying(_in_this_mood(policy), Rest(traffic), watch), once)


def _in_this_mood(policy: RetryPolicy) -> RetryPolicy:
    return replace(policy, attempts=min(policy.attempts, ATTEMPTS)) if must_fail_fast() else policy


async def _tried_again(
    first: CallError, retrying: AsyncRetrying, once: Callable[[], Awaitable[Result]]
) -> tuple[Result, int]:
    """The tries after the first. Most calls need none, and setting up tenacity takes longer than sending a request."""
    async for attempt in retrying:
        number = attempt.retry_state.attempt_number
        with attempt, count_attempts(number):
            if number == 1:
                raise first
            return await once(), number
    raise AssertionError("tenacity leaves its loop by a result or an error")


@contextmanager
def count_attempts(number: int) -> Iterator[None]:
    """Write on an error which try it comes from, or how many came before it where this one was never sent."""
    try:
        yield
    except CallError as error:
        error.attempts = number if error.attempts else number - 1
        # aiohttp's errors keep the request's headers, the key among them: they must not hang on to ours.
        error.__context__ = None
        raise


def _retrying(policy: RetryPolicy, rest: Rest, watch: Stopwatch) -> AsyncRetrying:
    return AsyncRetrying(
        retry=retry_if_exception(again),
        wait=Backoff(policy),
        stop=stop_after_attempt(policy.attempts) | SameError(policy.same_error) | OutOfTime(policy.total_s, watch),
        sleep=rest,
        before_sleep=rest.told,
        reraise=True,
    )


def _error_of(state: RetryCallState) -> CallError:
    """The error of the try that just ended: only these are asked about (see `again`)."""
    error = state.outcome.exception() if state.outcome else None
    if not isinstance(error, CallError):
        raise TypeError(f"a try that ended with {error!r} is not tried again")
    return error
