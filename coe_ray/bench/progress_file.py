"""`progress.json`, written anew every second while a run works: what the console shows of a job that is elsewhere."""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from coe_ray.bench.graceful_shutdown import GracefulShutdown
from coe_ray.bench.progress import ProgressCount, read_tracker
from coe_ray.core.run_folder import Phase, Progress, RunFolder

log = logging.getLogger(__name__)

NOTE_S = 1.0
LATELY_S = 15.0
"""The time that the rate is taken over."""


class ProgressFile:
    """Writes the file of one run from a thread of its own, whatever the run is at."""

    def __init__(self, folder: RunFolder, total: int) -> None:
        self._folder = folder
        self._progress = Progress(total, done=folder.finished())
        self._desk: Any = None
        self._over = threading.Event()
        self._writing = threading.Lock()
        self._lately: deque[tuple[float, int]] = deque()

    @contextmanager
    def kept(self, leaving: GracefulShutdown) -> Iterator[None]:
        """While the block runs; what follows it is scoring, and where it breaks off the run has stopped."""
        self._write()
        thread = threading.Thread(target=self._keep, daemon=True)
        thread.start()
        last: Phase = "stopped"
        try:
            with leaving.by(lambda: self._end("stopped")):
                yield
            last = "scoring"
        finally:
            self._end(last)
            thread.join()

    @contextmanager
    def of(self, desk: Any) -> Iterator[None]:
        """While the block runs, questions are asked, and `desk` knows how many."""
        self._desk = desk
        self._progress = replace(self._progress, phase="asking")
        try:
            yield
        finally:
            self._look()
            self._desk = None

    def _end(self, last: Phase) -> None:
        if not self._over.is_set():
            self._over.set()
            quiet = replace(self._progress, rate=0.0, in_flight=0, waiting=0, backing_off={})
            self._progress = replace(quiet, phase=last)
            self._write()

    def _keep(self) -> None:
        while not self._over.wait(NOTE_S):
            self._look()
            if not self._over.is_set():
                self._write()

    def _look(self) -> None:
        if (desk := self._desk) is not None and (count := read_tracker(desk)) is not None:
            self._progress = replace(
                self._progress,
                done=count.earlier + count.done,
                failed=count.failed,
                rate=self._rate(count),
                in_flight=count.in_flight,
                waiting=count.waiting,
                backing_off=count.backing_off,
                failures=count.failures,
            )

    def _rate(self, count: ProgressCount) -> float:
        """Questions a second lately; until there are two looks, since the first question."""
        self._lately.append((count.seconds, count.done))
        while count.seconds - self._lately[0][0] > LATELY_S:
            self._lately.popleft()
        since, done = self._lately[0] if len(self._lately) > 1 else (0.0, 0)
        return (count.done - done) / (count.seconds - since) if count.seconds > since else 0.0

    def _write(self) -> None:
        with self._writing:
            try:
                self._folder.write_progress(replace(self._progress, at=time.time()))
            except OSError as error:  # a full disk ends the run where it loses something: not here
                log.info("the progress cannot be written: %s", error)
