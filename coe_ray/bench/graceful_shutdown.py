"""Graceful shutdown of a bench: on SIGTERM it commits and ends within the three seconds that `ray job stop` gives."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOPPED = 128 + signal.SIGTERM
"""Exit code of a stopped run."""

Step = Callable[[], None]


class GracefulShutdown:
    """Steps that are still to be taken when the process is told to end; the last one added is taken first."""

    def __init__(self) -> None:
        self._steps: list[Step] = []

    @contextmanager
    def step(self, step: Step) -> Iterator[None]:
        """While the block runs, `step` is part of the shutdown."""
        self._steps.append(step)
        try:
            yield
        finally:
            self._steps.remove(step)

    def take_steps(self) -> None:
        for step in reversed(self._steps):
            step()

    def on_sigterm(self, report_line: Callable[[str], None]) -> None:
        """Shut down on SIGTERM from now on. Call it in the main thread, after `ray.init` has set its own."""
        # A thread reads the signal from a pipe, so that it acts whatever the main thread is in the middle of.
        read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)  # signal.set_wakeup_fd requires it
        signal.set_wakeup_fd(write_end)
        signal.signal(signal.SIGTERM, lambda _number, _frame: None)
        threading.Thread(target=self._wait, args=(read_end, report_line), daemon=True).start()

    def _wait(self, read_end: int, report_line: Callable[[str], None]) -> None:
        while signal.SIGTERM not in os.read(read_end, 64):
            pass  # another signal's number
        try:
            self.take_steps()
            report_line("stopped; every finished call is kept, and the same command goes on from here")
        finally:
            os._exit(STOPPED)
