"""Index cache: the indexes that one process has open, by folder."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cachetools import LRUCache

from coe_ray.core.errors import DataError
from coe_ray.retrieval.batching import BatchingEncoder
from coe_ray.retrieval.encoder import Encoder
from coe_ray.retrieval.index import ExampleIndex, index_stamp

log = logging.getLogger(__name__)

MAX_OPEN = 8
"""Indexes kept open; the least recently used one is closed for another."""

RECHECK_S = 1.0
"""How long an open index is used before the folder is looked at again, in seconds."""


@dataclass(slots=True)
class _Opened:
    index: ExampleIndex
    mark: tuple[int, int] | None
    looked: float


class IndexCache:
    """Opens an index at its first use, and again after it was rebuilt; all share one encoder."""

    def __init__(self, encoder: Encoder, limit: int = MAX_OPEN, clock: Callable[[], float] = time.monotonic) -> None:
        self.encoder = BatchingEncoder(encoder)
        self._clock = clock
        self._opened: LRUCache[Path, _Opened] = LRUCache(limit)
        self._lock = asyncio.Lock()

    def open(self, folder: Path) -> None:
        """Open the index at `folder` now; blocks. Raises `DataError`: none there, or one of another encoder."""
        mark = index_stamp(folder)
        self._opened[folder] = _Opened(ExampleIndex(folder, self.encoder), mark, self._clock())

    async def at(self, folder: Path) -> ExampleIndex:
        """The index at `folder`, not older than a second. One that broke on disk goes on as it was opened.

        Raises `DataError` where none was ever opened.
        """
        opened = self._opened.get(folder)
        if opened is not None and (self._lock.locked() or self._clock() - opened.looked < RECHECK_S):
            return opened.index
        try:
            await self.check(folder)
        except (DataError, OSError, ValueError) as error:
            if opened is None:
                raise
            log.warning("%s; going on with the index as it was", error)
            opened.looked = self._clock()
            self._opened.setdefault(folder, opened)
            return opened.index
        return self._opened[folder].index

    async def check(self, folder: Path) -> None:
        """Make sure that what lies at `folder` now is open. Raises `DataError`: no index, or of another encoder."""
        async with self._lock:
            opened = self._opened.get(folder)
            mark = await asyncio.to_thread(index_stamp, folder)
            if opened is None or mark is None or mark != opened.mark:
                await asyncio.to_thread(self.open, folder)
            else:
                opened.looked = self._clock()
