"""SIGTERM to a bench: it commits and leaves within the three seconds that `ray job stop` gives it."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray

STOPPED = 128 + signal.SIGTERM
PATIENCE_S = 1.5
"""How long the examiners may take to write what they know."""

Step = Callable[[], None]


class GracefulShutdown:
    """What is still to be done when the process is told to end, last thing first."""

    def __init__(self) -> None:
        self._steps: list[Step] = []

    @contextmanager
    def by(self, step: Step) -> Iterator[None]:
        """While the block runs, `step` is part of leaving."""
        self._steps.append(step)
        try:
            yield
        finally:
            self._steps.remove(step)

    def on_sigterm(self, say: Callable[[str], None]) -> None:
        """Watch for SIGTERM from now on. Call it in the main thread and after `ray.init`, which has its own way to die.

        A thread hears of it through a pipe, so that it acts whatever the main thread is in the middle of.
        """
        heard, told = os.pipe()
        os.set_blocking(told, False)  # as signal.set_wakeup_fd wants it
        signal.set_wakeup_fd(told)
        signal.signal(signal.SIGTERM, lambda _number, _frame: None)
        threading.Thread(target=self._wait, args=(heard, say), daemon=True).start()

    def _wait(self, heard: int, say: Callable[[str], None]) -> None:
        while signal.SIGTERM not in os.read(heard, 64):
            pass  # another signal's number
        try:
            for step in reversed(self._steps):
                step()
            say("stopped; every finished call is kept, and the same command goes on from here")
        finally:
            os._exit(STOPPED)


def commit(desk: Any) -> None:
    """Have every examiner write what it knows, and wait for them as long as there is time."""
    ray.get(desk.leave.remote(), timeout=PATIENCE_S)
    deadline = time.monotonic() + PATIENCE_S
    while not ray.get(desk.all_left.remote(), timeout=PATIENCE_S) and time.monotonic() < deadline:
        time.sleep(0.05)
