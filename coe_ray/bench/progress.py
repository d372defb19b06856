"""How far a bench is, and why it waits: counted by an actor where the answers are made, told where people look."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

log = logging.getLogger(__name__)

INTERVAL_S = 5.0
PATIENCE_S = 30.0
"""How long the line may stay the same before it is told once more."""


@dataclass(frozen=True, slots=True)
class ProgressUpdate:
    """What one examiner has to tell: questions done since it last told (id → failed), and what its calls do now.

    `failures` has the classes of the errors of each question that failed.
    """

    done: Mapping[str, bool] = field(default_factory=dict)
    in_flight: int = 0
    waiting: int = 0
    backing_off: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProgressCount:
    """Questions: of earlier sessions, done in this one, failed of those, and all; `seconds` since the first began.

    And calls: with their provider, waiting for their turn, and backing off, by the class of the error; and by class
    those that failed for good.
    """

    earlier: int
    done: int
    failed: int
    total: int
    seconds: float
    in_flight: int = 0
    waiting: int = 0
    backing_off: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)


class ProgressTracker:
    """Where examiners tell their news, and learn whether to leave.

    Counts questions by their ids: one that is asked again, as its process died, is still one question.
    """

    def __init__(self, earlier: int, total: int) -> None:
        self._earlier = earlier
        self._total = total
        self._failed: dict[str, bool] = {}
        self._failures: dict[str, Sequence[str]] = {}
        self._latest: dict[str, tuple[float, ProgressUpdate]] = {}
        self._began: float | None = None
        self._leaving = False
        self._left: set[str] = set()

    def tell(self, examiner: str, news: ProgressUpdate) -> bool:
        """Take the news; returns whether the examiner shall leave."""
        # Not from the actor's start: the time before the first question belongs to none.
        self._began = self._began or time.monotonic()
        self._failed.update(news.done)
        for id_ in news.done:
            self._failures.pop(id_, None)
        self._failures.update(news.failures)
        self._latest[examiner] = time.monotonic(), news
        return self._leaving

    def leave(self) -> None:
        self._leaving = True

    def left(self, examiner: str) -> None:
        """The examiner has written everything that it knew."""
        self._left.add(examiner)

    def all_left(self) -> bool:
        return self._present() <= self._left

    def read(self) -> ProgressCount:
        latest = [news for told, news in self._latest.values() if time.monotonic() - told < PATIENCE_S]
        backing_off: Counter[str] = sum((Counter(news.backing_off) for news in latest), Counter())
        return ProgressCount(
            self._earlier,
            len(self._failed),
            sum(self._failed.values()),
            self._total,
            time.monotonic() - self._began if self._began else 0.0,
            sum(news.in_flight for news in latest),
            sum(news.waiting for news in latest),
            dict(backing_off),
            dict(Counter(chain.from_iterable(self._failures.values()))),
        )

    def _present(self) -> set[str]:
        """Those heard of lately: one that died says nothing any more."""
        return {name for name, (told, _) in self._latest.items() if time.monotonic() - told < INTERVAL_S}


def start_tracker(earlier: int, total: int) -> Any:
    """The desk's actor on this node: it must not die with another."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=here)(ProgressTracker).remote(earlier, total)


@contextmanager
def report_progress(desk: Any, say: Callable[[str], None]) -> Iterator[None]:
    """Say how far the examiners at `desk` are while the block runs: when it changes, at times, and at the end."""
    stop = threading.Event()

    def tell() -> None:
        last, said = (0, 0), time.monotonic()
        while not stop.wait(INTERVAL_S):
            if (count := read_tracker(desk)) is None:
                continue
            if (count.done, count.failed) != last or time.monotonic() - said >= PATIENCE_S:
                say(progress_line(count))
                last, said = (count.done, count.failed), time.monotonic()

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        if count := read_tracker(desk):
            say(progress_line(count))


def read_tracker(desk: Any) -> ProgressCount | None:
    """How things are; `None` where the desk does not answer, which says nothing about the run."""
    try:
        count: ProgressCount = ray.get(desk.read.remote(), timeout=INTERVAL_S)
    except RayError as error:
        log.info("the progress cannot be read: %s", error)
        return None
    return count


def progress_line(count: ProgressCount) -> str:
    """`120/400 questions, 30 %, 2.1/s, 2 min 13 s left, 64 in flight, 8 waiting for rate, 0 failed`."""
    finished = count.earlier + count.done
    rate = count.done / count.seconds if count.seconds else 0.0
    left = f"{_duration((count.total - finished) / rate)} left" if rate else "starting"
    share = 100 * finished / count.total
    parts = [f"{finished}/{count.total} questions", f"{share:.0f} %", f"{rate:.1f}/s", left, *_calls(count)]
    return ", ".join([*parts, f"{count.failed} failed"])


def _calls(count: ProgressCount) -> list[str]:
    """What the calls do, as far as they do anything."""
    reasons = [f"{number} {reason}" for reason, number in sorted(count.backing_off.items()) if number]
    backing_off = sum(count.backing_off.values())
    told = [
        (count.in_flight, f"{count.in_flight} in flight"),
        (count.waiting, f"{count.waiting} waiting for rate"),
        (backing_off, f"{backing_off} backing off ({', '.join(reasons)})"),
    ]
    return [text for number, text in told if number]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
