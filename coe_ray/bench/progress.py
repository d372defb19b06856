"""Progress of a bench: an actor adds up what the workers report; a thread of the driver shows it and writes it down."""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from coe_ray.bench.graceful_shutdown import GracefulShutdown
from coe_ray.core.run_folder import Phase, Progress, RunFolder

log = logging.getLogger(__name__)

WRITE_INTERVAL_S = 1.0
LINE_INTERVAL_S = 5.0
REPEAT_LINE_S = 30.0
"""Seconds after which an unchanged line is reported again."""

RATE_WINDOW_S = 15.0
"""Seconds over which the rate is taken: what a restart reads out of the journal in a burst soon counts no more."""

WORKER_SILENT_S = 30.0
"""Seconds without a report after which a worker's calls count no more: it has died or has nothing to do."""

READ_TIMEOUT_S = 5.0
COMMIT_TIMEOUT_S = 1.5
"""Seconds that the workers get to commit at a shutdown."""


@dataclass(frozen=True, slots=True)
class ProgressUpdate:
    """Report of one worker: the questions done since its last report, each with the error classes of its failed calls,
    and what its calls do now.
    """

    done: Mapping[str, Sequence[str]] = field(default_factory=dict)
    in_flight: int = 0
    waiting: int = 0
    backing_off: Mapping[str, int] = field(default_factory=dict)


class ProgressTracker:
    """Actor that adds up the workers' reports, and through which they learn that they shall stop.

    Counts questions by id: one that is repeated because its worker died is one question.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._done: dict[str, Sequence[str]] = {}
        self._latest: dict[str, tuple[float, ProgressUpdate]] = {}
        self._stopping = False
        self._committed: set[str] = set()

    def report(self, worker: str, update: ProgressUpdate) -> bool:
        """Take a worker's report; returns whether it shall commit and stop."""
        self._done.update(update.done)
        self._latest[worker] = time.monotonic(), update
        return self._stopping

    def request_stop(self) -> None:
        self._stopping = True

    def confirm_commit(self, worker: str) -> None:
        """The worker has committed everything that it knew."""
        self._committed.add(worker)

    def all_committed(self) -> bool:
        return self._reported_within(LINE_INTERVAL_S).keys() <= self._committed

    def read(self) -> Progress:
        updates = self._reported_within(WORKER_SILENT_S).values()
        return Progress(
            self._total,
            done=len(self._done),
            failed=sum(map(bool, self._done.values())),
            in_flight=sum(update.in_flight for update in updates),
            waiting=sum(update.waiting for update in updates),
            backing_off=dict(sum((Counter(update.backing_off) for update in updates), Counter[str]())),
            failures=dict(Counter(chain.from_iterable(self._done.values()))),
            phase="asking",
            at=time.time(),
        )

    def _reported_within(self, seconds: float) -> dict[str, ProgressUpdate]:
        now = time.monotonic()
        return {worker: update for worker, (at, update) in self._latest.items() if now - at < seconds}


def start_tracker(total: int) -> Any:
    """The tracker's actor, on this node: it must not die with another."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=here)(ProgressTracker).remote(total)


def commit_workers(tracker: Any) -> None:
    """Have every worker commit its journal, and wait for that up to `COMMIT_TIMEOUT_S`."""
    ray.get(tracker.request_stop.remote(), timeout=COMMIT_TIMEOUT_S)
    deadline = time.monotonic() + COMMIT_TIMEOUT_S
    while not ray.get(tracker.all_committed.remote(), timeout=COMMIT_TIMEOUT_S) and time.monotonic() < deadline:
        time.sleep(0.05)


class ProgressReporter:
    """Thread that writes `progress.json` every second, and reports a line when something changed."""

    def __init__(self, folder: RunFolder, total: int, report_line: Callable[[str], None]) -> None:
        self._folder = folder
        self._report_line = report_line
        self._progress = Progress(total)
        self._tracker: Any = None
        self._over = threading.Event()
        self._writing = threading.Lock()
        self._recent: deque[tuple[float, int]] = deque()
        self._line_at = 0.0
        self._line_counts = (0, 0)

    @contextmanager
    def running(self, shutdown: GracefulShutdown) -> Iterator[None]:
        """While the block runs; after it the run is scored, and where the block raises the run has stopped."""
        self._write()
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        last: Phase = "stopped"
        try:
            with shutdown.step(lambda: self._end("stopped")):
                yield
            last = "scoring"
        finally:
            self._end(last)
            thread.join()

    @contextmanager
    def reading(self, tracker: Any) -> Iterator[None]:
        """While the block runs, questions are asked and `tracker` counts them; the last line is reported at its end."""
        self._line_at, self._recent = time.monotonic(), deque([(time.time(), 0)])
        self._tracker = tracker
        try:
            yield
        finally:
            self._tracker = None
            if self._read(tracker):
                self._report_line(progress_line(self._progress))

    def _run(self) -> None:
        while not self._over.wait(WRITE_INTERVAL_S):
            if (tracker := self._tracker) is not None and self._read(tracker):
                self._report_change()
            if not self._over.is_set():
                self._write()

    def _read(self, tracker: Any) -> bool:
        """Whether the tracker answered. Where it does not, that says nothing about the run."""
        try:
            progress: Progress = ray.get(tracker.read.remote(), timeout=READ_TIMEOUT_S)
        except RayError as error:
            log.info("the progress cannot be read: %s", error)
            return False
        self._progress = replace(progress, rate=self._rate(progress))
        return True

    def _rate(self, progress: Progress) -> float:
        """Questions a second over the last `RATE_WINDOW_S`, and not from before the first question."""
        if not progress.done:
            self._recent.clear()
        self._recent.append((progress.at, progress.done))
        while progress.at - self._recent[0][0] > RATE_WINDOW_S:
            self._recent.popleft()
        since, done = self._recent[0]
        return (progress.done - done) / (progress.at - since) if progress.at > since else 0.0

    def _report_change(self) -> None:
        counts, silent_s = (self._progress.done, self._progress.failed), time.monotonic() - self._line_at
        if silent_s >= REPEAT_LINE_S or (silent_s >= LINE_INTERVAL_S and counts != self._line_counts):
            self._report_line(progress_line(self._progress))
            self._line_at, self._line_counts = time.monotonic(), counts

    def _end(self, phase: Phase) -> None:
        if not self._over.is_set():
            self._over.set()
            self._progress = replace(self._progress, rate=0.0, in_flight=0, waiting=0, backing_off={}, phase=phase)
            self._write()

    def _write(self) -> None:
        with self._writing:
            try:
                self._folder.write_progress(replace(self._progress, at=time.time()))
            except OSError as error:  # a full disk ends the run where something would be lost, not here
                log.info("the progress cannot be written: %s", error)


def progress_line(progress: Progress) -> str:
    """`120/400 questions, 30 %, 2.1/s, 2 min 13 s left, 64 in flight, 8 waiting for rate, 0 failed`."""
    share, remaining = 100 * progress.done / progress.total, progress.total - progress.done
    if progress.rate or not remaining:
        left = f"{_duration(remaining / progress.rate if remaining else 0)} left"
    else:
        left = "standing still" if progress.done else "starting"
    reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(progress.backing_off.items()) if number)
    calls = {
        "in flight": progress.in_flight,
        "waiting for rate": progress.waiting,
        f"backing off ({reasons})": sum(progress.backing_off.values()),
    }
    parts = [f"{progress.done}/{progress.total} questions", f"{share:.0f} %", f"{progress.rate:.1f}/s", left]
    return ", ".join([*parts, *(f"{n} {what}" for what, n in calls.items() if n), f"{progress.failed} failed"])


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
