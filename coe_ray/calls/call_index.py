"""Where each finished call stands: some 40 bytes a call, so that a million of them fit anywhere."""

import struct
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

_RECENT = 4_096
_SHARE = 8

_ROW = np.dtype([("at", "<f8"), ("offset", "<u8"), ("segment", "<u4"), ("length", "<u4")])
_PACKED = struct.Struct("<dQII")  # the same, for one entry: half the memory of a tuple, and no work for the collector


class Entry(NamedTuple):
    """A line: when it was written (seconds since 1970), in which segment, and its bytes there."""

    at: float
    offset: int
    segment: int
    length: int


class CallIndex:
    """From keys to entries; of two entries for one key the one that was written later stays.

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
        if known is None or _unpacked(known).at <= entry.at:
            self._recent[key[:8]] = _PACKED.pack(*entry)
        if len(self._recent) >= max(_RECENT, len(self._keys) // _SHARE):
            self._merge()

    def get(self, key: bytes) -> Entry | None:
        recent, merged = self._recent.get(key[:8]), self._merged(key)
        if recent is None or (merged and merged.at > _unpacked(recent).at):
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
        earlier = twins + (rows["at"][twins] > rows["at"][twins + 1])
        self._keys, self._rows = np.delete(keys, earlier), np.delete(rows, earlier)


def _unpacked(packed: bytes) -> Entry:
    return Entry(*_PACKED.unpack(packed))
