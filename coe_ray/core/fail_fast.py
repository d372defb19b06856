"""Fail-fast mode of calls: a caller that has other experts to ask does not wait long for one.

A context variable, because a journal, a limiter and a handle lie between the caller and the retry policy.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

FAIL_FAST_ATTEMPTS = 2
"""Tries of a fail-fast call, at most: the second is for a connection that broke."""

FAIL_FAST_WAIT_S = 5.0
"""How long a fail-fast call waits in a limiter's queue."""

_FAIL_FAST: ContextVar[bool] = ContextVar("fail_fast", default=False)


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
