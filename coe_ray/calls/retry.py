"""How long to wait for a model and how often to ask again: the project's only retry policy.

One decision an object, put together by `retried`: `again` says whether, `Backoff` when, and tenacity's stops
say until when. Only a `CallError` whose class is `retryable` is asked again; all else passes untouched,
cancellation too.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, stop_before_delay
from tenacity.wait import wait_base, wait_random_exponential

from coe_ray.errors import CallError

log = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `attempts` tries, none begun later than `total_s` seconds after the first.

    Before try n + 1 passes a random time of up to `base_s` * 2^(n-1) seconds, at most `max_s` (full jitter).
    What a provider asks for in Retry-After comes before it, and is not capped by `max_s`.
    """

    attempts: int = 6
    total_s: float = 300.0
    base_s: float = 0.5
    max_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Bounds of one try, in seconds: to be connected, to wait for a byte (first or next), and in all."""

    connect_s: float = 10.0
    first_byte_s: float = 120.0
    total_s: float = 300.0


class Backoff(wait_base):
    """Full jitter on top of what the provider asked for.

    On top, not instead: callers that were all told "in 20 seconds" must not come back in the same instant.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self._jitter = wait_random_exponential(multiplier=policy.base_s, max=policy.max_s)

    def __call__(self, retry_state: RetryCallState) -> float:
        error = _error_of(retry_state)
        asked_for = error.retry_after if isinstance(error, CallError) else None
        return (asked_for or 0.0) + self._jitter(retry_state)


def again(error: BaseException) -> bool:
    """Whether asking again can help."""
    return isinstance(error, CallError) and error.retryable


async def retried(policy: RetryPolicy, once: Callable[[], Awaitable[Result]]) -> tuple[Result, int]:
    """The result of `once` and the number of tries it took; the last try's error where none succeeds."""
    async for attempt in _retrying(policy):
        number = attempt.retry_state.attempt_number
        with attempt, counted(number):
            return await once(), number
    raise AssertionError("tenacity leaves its loop by a result or an error")


@contextmanager
def counted(number: int) -> Iterator[None]:
    """Write on an error which try it comes from."""
    try:
        yield
    except CallError as error:
        error.attempts = number
        # aiohttp's errors keep the request's headers, the key among them: they must not hang on to ours.
        error.__context__ = None
        raise


def _retrying(policy: RetryPolicy) -> AsyncRetrying:
    return AsyncRetrying(
        retry=retry_if_exception(again),
        wait=Backoff(policy),
        # `before`: a wait that would end too late is not begun, so a long Retry-After fails at once.
        stop=stop_after_attempt(policy.attempts) | stop_before_delay(policy.total_s),
        before_sleep=_tell,
        reraise=True,
    )


def _tell(state: RetryCallState) -> None:
    log.info("%s; asked again in %.1f s", _error_of(state), state.upcoming_sleep)


def _error_of(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
