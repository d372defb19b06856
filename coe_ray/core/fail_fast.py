"""What a live request leaves to a call: how many tries and seconds, and whether it waits for a full provider.

Context variables, because a journal, a limiter and a handle lie between the request and the retry policy. Jobs set
none: their calls are tried as long as the model's own policy says.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

FAIL_FAST_ATTEMPTS = 2
"""Tries of a fail-fast call, at most: the second is for a connection that broke."""

FAIL_FAST_WAIT_S = 5.0
"""How long a fail-fast call waits in a limiter's queue."""

REQUEST_ATTEMPTS = 6
"""Tries of one live request, over all its experts. Clients try again themselves, and each time costs as many."""

MODEL_ATTEMPTS = 4
"""Tries of one live request at one model."""

REQUEST_RETRY_S = 15.0
"""Seconds after which a live request begins no further try."""

LONGEST_WAIT_S = 5.0
"""Seconds that a live request waits between two tries: a longer Retry-After is the client's to wait for."""


@dataclass(slots=True)
class RetryBudget:
    """Tries that a live request has left, and when it begins no more (monotonic seconds)."""

    attempts: int = REQUEST_ATTEMPTS
    ends_at: float = math.inf
    longest_wait_s: float = math.inf

    def may_wait(self, seconds: float) -> bool:
        """Whether a try may begin after so many seconds; a client had better hear of a longer wait."""
        return seconds < min(self.seconds, self.longest_wait_s)

    @property
    def seconds(self) -> float:
        return max(self.ends_at - time.monotonic(), 0.0)


_FAIL_FAST: ContextVar[bool] = ContextVar("fail_fast", default=False)
_BUDGET: ContextVar[RetryBudget | None] = ContextVar("retry_budget", default=None)
_ON_LIFE: ContextVar[Callable[[], None] | None] = ContextVar("on_life", default=None)


@contextmanager
def fail_fast() -> Iterator[None]:
    """Calls made within are tried `FAIL_FAST_ATTEMPTS` times at most, and do not wait for a full provider."""
    token = _FAIL_FAST.set(True)
    try:
        yield
    finally:
        _FAIL_FAST.reset(token)


def must_fail_fast() -> bool:
    return _FAIL_FAST.get()


@contextmanager
def retry_budget() -> Iterator[RetryBudget]:
    """One budget for all calls made within: that of a live request to its experts."""
    budget = RetryBudget(ends_at=time.monotonic() + REQUEST_RETRY_S, longest_wait_s=LONGEST_WAIT_S)
    token = _BUDGET.set(budget)
    try:
        yield budget
    finally:
        _BUDGET.reset(token)


def current_budget() -> RetryBudget | None:
    """`None` in a job."""
    return _BUDGET.get()


@contextmanager
def on_life(extend: Callable[[], None]) -> Iterator[None]:
    """`extend` is called for each sign of life of a model that is called within: any byte of its reply."""
    token = _ON_LIFE.set(extend)
    try:
        yield
    finally:
        _ON_LIFE.reset(token)


def note_life() -> None:
    if extend := _ON_LIFE.get():
        extend()
