"""Committer: the thread that brings appended lines to the disk, so that an event loop never waits for an fsync."""

import threading
from collections.abc import Callable

WITHIN_S = 0.5
"""Time from an append to its commit: with the fsync itself, less than a second is lost at a power failure."""


class Committer:
    """Thread that calls `commit` at most `WITHIN_S` seconds after the first `notify` that no commit has covered yet.

    After an error of `commit` it ends; `check` raises the error.
    """

    def __init__(self, commit: Callable[[], None]) -> None:
        self._commit = commit
        self._dirty = threading.Event()
        self._stopped = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def notify(self) -> None:
        """Something was appended."""
        self._dirty.set()

    def check(self) -> None:
        """Raise the error of the last commit."""
        if self._error:
            raise self._error

    def stop(self) -> None:
        """End the thread, after a commit in progress."""
        self._stopped.set()
        self._dirty.set()
        self._thread.join()

    def _run(self) -> None:
        while self._error is None:
            self._dirty.wait()
            if self._stopped.wait(WITHIN_S):
                return
            self._dirty.clear()  # before the commit: what is appended during it needs another one
            try:
                self._commit()
            except Exception as error:  # kept for `check`: nobody waits for this thread
                self._error = error
