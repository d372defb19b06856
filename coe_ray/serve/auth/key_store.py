"""The file of keys as a running endpoint sees it: looked at once a second, aside from the event loop."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from coe_ray.core.api_keys import ApiKey, read_keys
from coe_ray.core.errors import DataError

log = logging.getLogger("ray.serve")

LOOK_EVERY_S = 1.0

SURE_S, PATIENCE_S = 2.0, 1.0
"""Where the last look is older than the one, the next request waits for another; where that takes longer than the
other, storage hangs, and nobody waits."""

Mark = tuple[int, int, int]
"""Modification time, size and inode: a file that is replaced whole changes at least one of them."""


class KeyStore:
    """The last keys that could be read. A file that goes missing or breaks leaves them as they are.

    Shared storage may take its time or hang, so a thread looks at it. Until it is back, the old keys hold.
    """

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        """Raises `DataError` where there is nothing to begin with."""
        self.path = path
        self._clock = clock
        self._looked_at = self._known_at = clock()
        self._mark = _mark(path)
        self.keys: tuple[ApiKey, ...] = read_keys(path)
        self._complaint = ""
        self._looking: asyncio.Future[bool] | None = None

    async def settled(self, now: float) -> None:
        """After a quiet time wait for a look: a key that was taken away meanwhile lets nobody in once more."""
        if now - self._known_at < SURE_S:
            return
        looking = self._begin(now)
        if (left := self._looked_at + PATIENCE_S - now) > 0:
            await asyncio.wait([looking], timeout=left)

    def is_news(self, now: float) -> bool:
        """Whether `keys` are others since the last time this was asked. Looks for the next time, once a second."""
        if self._looking is None:
            if now - self._looked_at >= LOOK_EVERY_S:
                self._begin(now)
            return False
        if not self._looking.done():
            return False
        news, self._looking, self._known_at = self._looking.result(), None, self._looked_at
        return news

    def _begin(self, now: float) -> asyncio.Future[bool]:
        if self._looking is None:
            self._looked_at = now
            self._looking = asyncio.get_running_loop().run_in_executor(None, self.look)
        return self._looking

    def look(self) -> bool:
        """Read the file where it has changed. True: there are other keys. What is wrong with it is logged, once."""
        mark = _mark(self.path)
        if mark is not None and mark == self._mark:
            return False
        try:
            keys = read_keys(self.path)
        except DataError as error:
            self._complain(str(error))
            return False
        self._mark, self._complaint = mark, ""
        changed, self.keys = keys != self.keys, keys
        log.info("%s: %d API keys", self.path, len(keys))
        return changed

    def _complain(self, complaint: str) -> None:
        self._mark = None  # or a file that comes back as it was would not be read
        if complaint != self._complaint:
            self._complaint = complaint
            log.error("%s; the %d API keys known so far hold", complaint, len(self.keys))


def _mark(path: Path) -> Mark | None:
    with contextlib.suppress(OSError):  # what is wrong with it, reading will say
        stat = path.stat()
        return stat.st_mtime_ns, stat.st_size, stat.st_ino
    return None
