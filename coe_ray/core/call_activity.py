"""Call activity of one process: what is in flight, waiting for a limiter, or backing off and why."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

_on_sent: ContextVar[Callable[[], None] | None] = ContextVar("on_sent", default=None)


@contextmanager
def notify_when_sent(on_sent: Callable[[], None]) -> Iterator[None]:
    """Have `on_sent` called whenever a request of the calls made within leaves this process: perhaps minutes later."""
    token = _on_sent.set(on_sent)
    try:
        yield
    finally:
        _on_sent.reset(token)


@dataclass(slots=True)
class CallActivity:
    """Counters of the calls on one event loop; `backing_off` counts by the class of the error before the wait."""

    in_flight: int = 0
    waiting: int = 0
    backing_off: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def count_waiting(self) -> Iterator[None]:
        """Context of a call that waits in a limiter's queue."""
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    @contextmanager
    def count_in_flight(self) -> Iterator[None]:
        """Context of a request that is with the provider; calls what `notify_when_sent` set."""
        if on_sent := _on_sent.get():
            on_sent()
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    @contextmanager
    def count_backing_off(self, reason: str) -> Iterator[None]:
        """Context of a call that waits before its next try."""
        self.backing_off[reason] += 1
        try:
            yield
        finally:
            self.backing_off[reason] -= 1
