"""What the calls of one process are doing right now: in flight, waiting for their turn, or backing off and why."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

_told: ContextVar[Callable[[], None] | None] = ContextVar("told", default=None)


@contextmanager
def notify_when_sent(note: Callable[[], None]) -> Iterator[None]:
    """Have `note` called whenever a request of the calls made within leaves this process.

    Only the model itself knows when that is: a call may wait for its turn for minutes, and may never be sent.
    """
    token = _told.set(note)
    try:
        yield
    finally:
        _told.reset(token)


@dataclass(slots=True)
class CallActivity:
    """Counted in place, on one event loop. `backing_off` counts by the class of the error that they wait after."""

    in_flight: int = 0
    waiting: int = 0
    backing_off: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def count_waiting(self) -> Iterator[None]:
        """While a call waits for its turn."""
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    @contextmanager
    def count_in_flight(self) -> Iterator[None]:
        """While a request is with the provider; tells `notify_when_sent` at its start."""
        if note := _told.get():
            note()
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    @contextmanager
    def count_backing_off(self, reason: str) -> Iterator[None]:
        """While a call waits before it is tried again."""
        self.backing_off[reason] += 1
        try:
            yield
        finally:
            self.backing_off[reason] -= 1
