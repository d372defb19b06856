"""How far a bench is: counted by an actor where the answers are made, told by a thread where people look."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray

INTERVAL_S = 5.0


@dataclass(frozen=True, slots=True)
class Count:
    """Questions: of earlier sessions, done in this one, failed of those, and all; `seconds` since the first began."""

    earlier: int
    done: int
    failed: int
    total: int
    seconds: float


class Tally:
    """Counts questions by their ids: one that is asked again, as its process died, is still one question."""

    def __init__(self, earlier: int, total: int) -> None:
        self._earlier = earlier
        self._total = total
        self._failed: dict[str, bool] = {}
        self._began: float | None = None

    def begin(self) -> None:
        """The first question is about to be asked: the time before belongs to no question."""
        self._began = self._began or time.monotonic()

    def add(self, question_id: str, failed: bool) -> None:
        self._failed[question_id] = failed

    def read(self) -> Count:
        seconds = time.monotonic() - self._began if self._began else 0.0
        return Count(self._earlier, len(self._failed), sum(self._failed.values()), self._total, seconds)


@contextmanager
def report_progress(earlier: int, total: int, say: Callable[[str], None]) -> Iterator[Any]:
    """Give an actor to count with; say how far it is while the block runs, if something changed, and at its end."""
    tally = ray.remote(num_cpus=0)(Tally).remote(earlier, total)
    stop = threading.Event()

    def tell() -> None:
        last = earlier, 0
        while not stop.wait(INTERVAL_S):
            count: Count = ray.get(tally.read.remote())
            if (count.done, count.failed) != last:
                say(progress_line(count))
            last = count.done, count.failed

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield tally
    finally:
        stop.set()
        thread.join()
        say(progress_line(ray.get(tally.read.remote())))


def progress_line(count: Count) -> str:
    """`120/400 questions, 30 %, 2.1/s, 2 min 13 s left, 0 failed`."""
    finished = count.earlier + count.done
    rate = count.done / count.seconds if count.seconds else 0.0
    left = f"{_duration((count.total - finished) / rate)} left" if rate else "starting"
    share = 100 * finished / count.total
    return f"{finished}/{count.total} questions, {share:.0f} %, {rate:.1f}/s, {left}, {count.failed} failed"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
