"""How far a bench is: counted by an actor where the answers are made, told by a thread where people look."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray

INTERVAL_S = 5.0


@ray.remote(num_cpus=0)
class Progress:
    """Counts questions as they are finished, this session's and earlier ones'."""

    def __init__(self, done: int, total: int) -> None:
        self._earlier = done
        self._total = total
        self._done = 0
        self._failed = 0

    def add(self, failed: bool) -> None:
        self._done += 1
        self._failed += failed

    def read(self) -> tuple[int, int, int, int]:
        """(earlier, done in this session, failed of those, total)."""
        return self._earlier, self._done, self._failed, self._total


@contextmanager
def report_progress(progress: Any, say: Callable[[str], None]) -> Iterator[None]:
    """Say how far it is while the block runs, whenever something changed, and once at its end."""
    stop = threading.Event()
    started = time.monotonic()

    def tell() -> None:
        last = ""
        while not stop.wait(INTERVAL_S):
            line = progress_line(*ray.get(progress.read.remote()), time.monotonic() - started)
            if line != last:
                say(line)
            last = line

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        say(progress_line(*ray.get(progress.read.remote()), time.monotonic() - started))


def progress_line(earlier: int, done: int, failed: int, total: int, seconds: float) -> str:
    """`120/400 questions, 30 %, 2.1/s, 2 min 13 s left, 0 failed`."""
    finished = earlier + done
    rate = done / seconds if seconds else 0.0
    left = f"{_duration((total - finished) / rate)} left" if rate else "starting"
    share = 100 * finished / total
    return f"{finished}/{total} questions, {share:.0f} %, {rate:.1f}/s, {left}, {failed} failed"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
