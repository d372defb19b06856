"""How patiently a call is made: a caller that has others to ask does not wait long for one.

Said around the call, not to it: between who knows of the others and the retry policy lie a journal, a gate, a handle.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

FAIL_FAST_ATTEMPTS = 2
"""Tries of an impatient call, at most: the second is for a connection that broke."""

FAIL_FAST_WAIT_S = 5.0
"""How long an impatient call waits for its turn at a gate."""

_IMPATIENT: ContextVar[bool] = ContextVar("impatient", default=False)


@contextmanager
def fail_fast() -> Iterator[None]:
    """Calls begun within are tried `FAIL_FAST_ATTEMPTS` times at most, and what is full is not waited for."""
    token = _IMPATIENT.set(True)
    try:
        yield
    finally:
        _IMPATIENT.reset(token)


def must_fail_fast() -> bool:
    return _IMPATIENT.get()
