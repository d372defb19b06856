"""Batching encoder: texts of many callers in one batch, each text once, recent vectors from a cache."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
from cachetools import LRUCache

from coe_ray.retrieval.encoder import Encoder, Vectors

CACHED = 4096
"""Vectors kept: 6 MiB of MiniLM's."""


class BatchingEncoder:
    """Encodes in a thread; the texts that come meanwhile make up the next batch, so no timer is needed.

    A batch is short, as its first text waits for its last and long ones are no faster (see `onnx_export`).
    """

    def __init__(self, encoder: Encoder, max_batch: int = 8, cached: int = CACHED) -> None:
        self.name = encoder.name
        self._encoder = encoder
        self._max_batch = max_batch
        # By their hash: a text may be a megabyte.
        self._known: LRUCache[bytes, Vectors] = LRUCache(cached)
        self._coming: dict[bytes, asyncio.Future[Vectors]] = {}
        self._waiting: list[tuple[bytes, str]] = []
        self._wanted: Counter[bytes] = Counter()
        self._working: asyncio.Task[None] | None = None

    async def encode(self, text: str) -> Vectors:
        """One vector of shape (dimension,)."""
        key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        if (known := self._known.get(key)) is not None:
            return known
        if key not in self._coming:
            self._coming[key] = asyncio.get_running_loop().create_future()
            self._waiting.append((key, text))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        self._wanted[key] += 1
        try:
            # A caller who leaves must not take the vector from the others who wait for it.
            return await asyncio.shield(self._coming[key])
        finally:
            self._wanted[key] -= 1
            if not self._wanted[key]:
                del self._wanted[key]

    async def encode_all(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (len(texts), dimension). A batch at a time, so that questions come in between."""
        vectors: list[Vectors] = []
        for start in range(0, len(texts), self._max_batch):
            vectors += await asyncio.gather(*map(self.encode, texts[start : start + self._max_batch]))
        return np.stack(vectors)

    async def _work(self) -> None:
        while self._still_wanted():
            batch, self._waiting = self._waiting[: self._max_batch], self._waiting[self._max_batch :]
            keys = [key for key, _ in batch]
            try:
                vectors = await asyncio.to_thread(self._encoder.encode, [text for _, text in batch])
                for key, vector in list(zip(keys, vectors, strict=True)):
                    # A copy: a row of the batch would keep the whole batch in memory.
                    self._known[key] = vector.copy()
                    self._coming.pop(key).set_result(self._known[key])
            except Exception as error:  # raised to every caller that waits for it
                for key in keys:
                    self._coming.pop(key).set_exception(error)

    def _still_wanted(self) -> bool:
        """Forget texts that nobody waits for any more; whether any are left."""
        for key in [key for key, _ in self._waiting if key not in self._wanted]:
            self._coming.pop(key).cancel()
        self._waiting = [each for each in self._waiting if each[0] in self._wanted]
        return bool(self._waiting)
