"""Commits what was written in a thread of its own, so that an event loop never waits for a disk or a network."""

import threading
from collections.abc import Callable


class Committer:
    """Calls `commit` at most `within_s` seconds after the first `touch` that no commit has covered yet.

    After an error of `commit` it does nothing more; `check` raises the error.
    """

    def __init__(self, commit: Callable[[], None], within_s: float) -> None:
        self._commit = commit
        self._within_s = within_s
        self._dirty = threading.Event()
        self._hurry = threading.Event()
        self._stopped = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def touch(self, *, now: bool = False) -> None:
        """Something was written; `now`: so much that it shall not wait."""
        self._dirty.set()
        if now:
            self._hurry.set()

    def check(self) -> None:
        """Raise what the last commit raised."""
        if self._error:
            raise self._error

    def stop(self) -> None:
        """Wait for a commit under way, and end."""
        self._stopped = True
        self.touch(now=True)
        self._thread.join()

    def _run(self) -> None:
        while self._due() and self._committed():
            pass

    def _due(self) -> bool:
        self._dirty.wait()
        self._hurry.wait(self._within_s)
        # Before the commit: what is written during it needs another one.
        self._dirty.clear()
        self._hurry.clear()
        return not self._stopped

    def _committed(self) -> bool:
        try:
            self._commit()
        except Exception as error:  # kept for `check`: this thread has nobody to tell
            self._error = error
        return self._error is None
