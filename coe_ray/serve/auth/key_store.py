"""Key store: the file of keys as a running endpoint sees it, read once a second by a thread."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from coe_ray.core.api_keys import ApiKey, read_keys
from coe_ray.core.errors import DataError

log = logging.getLogger("ray.serve")

READ_EVERY_S = 1.0

STALE_S = 2.0
"""Keys that are older than this are read again before the next request is let in."""

PATIENCE_S = 1.0
"""Seconds that a request waits for such a read. If it takes longer, storage hangs, and the old keys hold."""

FileState: TypeAlias = tuple[int, int, int]
"""Modification time, size and inode: a file that is replaced as a whole changes at least one of them."""


class KeyStore:
    """The last keys that could be read. A file that is missing or broken leaves them as they are.

    Shared storage may be slow or hang, so only a thread touches it; `poll` and `refresh` are for the event loop.
    """

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        """Reads the file, and so blocks. Raises `DataError` where it cannot be read."""
        self.path = path
        self._clock = clock
        self._read_at = self._fresh_at = clock()
        self._state = _file_state(path)
        self.keys: tuple[ApiKey, ...] = read_keys(path)
        self._error = ""
        self._reading: asyncio.Future[bool] | None = None

    async def refresh(self, now: float) -> None:
        """After a quiet time, wait for a read: a key that was removed meanwhile must not be let in once more."""
        if now - self._fresh_at < STALE_S:
            return
        reading = self._start_reading(now)
        if (left := self._read_at + PATIENCE_S - now) > 0:
            await asyncio.wait([reading], timeout=left)

    def poll(self, now: float) -> bool:
        """Whether `keys` have changed since the last call. Starts the next read, once a second."""
        if self._reading is None:
            if now - self._read_at >= READ_EVERY_S:
                self._start_reading(now)
            return False
        if not self._reading.done():
            return False
        changed, self._reading, self._fresh_at = self._reading.result(), None, self._read_at
        return changed

    def _start_reading(self, now: float) -> asyncio.Future[bool]:
        if self._reading is None:
            self._read_at = now
            self._reading = asyncio.get_running_loop().run_in_executor(None, self.read)
        return self._reading

    def read(self) -> bool:
        """Read the file where it has changed; whether the keys did. Blocks. An error is logged once."""
        state = _file_state(self.path)
        if state is not None and state == self._state:
            return False
        try:
            keys = read_keys(self.path)
        except DataError as error:
            self._log_error(str(error))
            return False
        self._state, self._error = state, ""
        changed, self.keys = keys != self.keys, keys
        log.info("%s: %d API keys", self.path, len(keys))
        return changed

    def _log_error(self, error: str) -> None:
        self._state = None  # or a file that comes back as it was would not be read
        if error != self._error:
            self._error = error
            log.error("%s; the %d API keys known so far hold", error, len(self.keys))


def _file_state(path: Path) -> FileState | None:
    with contextlib.suppress(OSError):  # reading will name the error
        stat = path.stat()
        return stat.st_mtime_ns, stat.st_size, stat.st_ino
    return None
