"""Where each finished call stands: some 40 bytes a call, so that a million of them fit anywhere."""

import struct
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

_RECENT = 4_096
_SHARE = 8

_ROW = np.dtype([("answered", "?"), ("at", "<f8"), ("offset", "<u8"), ("segment", "<u4"), ("length", "<u4")])
_PACKED = struct.Struct("<?dQII")  # the same, for one entry: half the memory of a tuple, and no work for the collector


class Entry(NamedTuple):
    """A line: whether it is an answer or a refusal, when it was written (seconds since 1970), and where it lies."""

    answered: bool
    at: float
    offset: int
    segment: int
    length: int

    @property
    def rank(self) -> tuple[bool, float]:
        """Clocks of two machines differ: they decide only between two answers, or between two failures."""
        return self.answered, self.at


class CallIndex:
    """From keys to entries; of two entries for one key an answer stays, and else the one that was written later.

    Keys are told apart by their first 8 bytes (2 of a million collide once in 40 million times): who finds an
    entry compares the whole key with the one in the line. A collision hides a call and mixes up nothing.

    New entries are kept in a dict, and merged into the sorted arrays when they are an eighth of them.
    """

    def __init__(self) -> None:
        self._recent: dict[bytes, bytes] = {}
        self._keys: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
        self._rows: npt.NDArray[Any] = np.empty(0, _ROW)

    def put(self, key: bytes, entry: Entry) -> None:
        known = self._recent.get(key[:8])
        if known is None or _unpacked(known).rank <= entry.rank:
            self._recent[key[:8]] = _PACKED.pack(*entry)
        if len(self._recent) >= max(_RECENT, len(self._keys) // _SHARE):
            self._merge()

    def get(self, key: bytes) -> Entry | None:
        recent, merged = self._recent.get(key[:8]), self._merged(key)
        if recent is None or (merged and merged.rank > _unpacked(recent).rank):
            return merged
        return _unpacked(recent)

    def _merged(self, key: bytes) -> Entry | None:
        number = int.from_bytes(key[:8])
        row = self._keys.searchsorted(np.uint64(number))
        if row < len(self._keys) and self._keys[row] == number:
            return Entry(*self._rows[row].item())
        return None

    def _merge(self) -> None:
        keys = np.frombuffer(b"".join(self._recent), ">u8").astype(np.uint64)
        rows = np.frombuffer(b"".join(self._recent.values()), _ROW)
        self._recent = {}
        order = np.argsort(keys)
        self._sort_in(keys[order], rows[order])

    def _sort_in(self, keys: npt.NDArray[np.uint64], rows: npt.NDArray[Any]) -> None:
        keys, rows = np.concatenate([self._keys, keys]), np.concatenate([self._rows, rows])
        order = np.argsort(keys, kind="stable")  # two sorted runs: merged in linear time, the older run's first
        keys, rows = keys[order], rows[order]
        twins = np.flatnonzero(keys[1:] == keys[:-1])
        lower = twins + _outranks(rows[twins], rows[twins + 1])
        self._keys, self._rows = np.delete(keys, lower), np.delete(rows, lower)


def _outranks(ones: npt.NDArray[Any], others: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """`one.rank > other.rank`, row by row."""
    alike = ones["answered"] == others["answered"]
    return np.where(alike, ones["at"] > others["at"], ones["answered"])


def _unpacked(packed: bytes) -> Entry:
    return Entry(*_PACKED.unpack(packed))
