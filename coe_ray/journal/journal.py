"""Journal of calls: the outcome of every finished call, appended before anything else uses it.

    append_issued → append_outcome    appended at once to this process's own segment, committed in groups (committer.py)
    find                              key → position in a dict → the line, read from its file
    refresh                           reads what other workers have appended since, in a thread

A SIGKILL of any process at any time loses only the calls in flight, which are made again; a power failure also those
of the last second. Memory is about 25 MB for 100,000 calls: positions are kept, answers stay in the files.
"""

import asyncio
import time
from asyncio import Future, Task
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from coe_ray.core.errors import DataError
from coe_ray.core.types import Call
from coe_ray.journal.committer import Committer
from coe_ray.journal.entries import (
    CallOutcome,
    finished_line,
    is_answer,
    issued_line,
    parse_entry,
    prompt_hash,
    prompt_line,
    reused_line,
)
from coe_ray.journal.segments import (
    PROMPTS,
    SUFFIX,
    FilePool,
    SegmentReader,
    SegmentWriter,
    journal_folder,
    new_stem,
    segment_names,
)

REFRESH_PIECE = 1000
"""Entries that are read in one go by a refresh: the event loop indexes so many in about a millisecond."""


class _Position(NamedTuple):
    """Where a finished call stands: whether it is an answer or a refusal, its time, and the place of its line."""

    answered: bool
    at: float
    segment: int
    offset: int
    length: int

    @property
    def rank(self) -> tuple[bool, float]:
        """Clocks of two machines differ: they decide only between two answers, or between two failures."""
        return self.answered, self.at


_PACKED = Struct("<?dIQI")  # a position in half the memory of a tuple, and no work for the garbage collector


class Journal:
    """One process's view of a journal, for one event loop. `in_flight` holds the calls that it is making, by key.

    Appending raises `DataError` where the disk is full, or where the last commit failed; what was appended stays.
    """

    def __init__(self, folder: Path, run: str) -> None:
        self.in_flight: dict[bytes, Future[CallOutcome | None]] = {}
        self._folder = folder
        self._run = run
        self._positions: dict[bytes, bytes] = {}
        self._segments: list[SegmentReader] = []
        self._numbers: dict[str, int] = {}
        self._files = FilePool()
        self._writer: _Writer | None = None
        self._refreshing: Task[None] | None = None

    @classmethod
    def open(cls, folder: str | Path, run: str = "") -> "Journal":
        """Open the journal in `folder`, made if missing, and read where its calls stand.

        Names of new files begin with the `run`; nothing is created before the first append. Raises `DataError` where
        the folder cannot be used, `ConfigError` for a URI. Unreadable lines are left out and logged: their calls are
        made again.
        """
        journal = cls(journal_folder(folder), run)
        journal._index(journal._new_positions(journal._readers(segment_names(journal._folder))))
        for segment in journal._segments:
            segment.log_torn_line()
        return journal

    def find(self, key: bytes) -> CallOutcome | None:
        """The outcome of the call when it was last finished. Raises `DataError` where the file was changed since."""
        packed = self._positions.get(key)
        if packed is None:
            return None
        position = _unpack(packed)
        path = self._segments[position.segment].path
        entry = parse_entry(self._files.read(path, position.offset, position.length))
        if entry is None or entry.key != key:
            raise DataError(f"{path}: changed while it was in use (byte {position.offset}); run the same command again")
        return entry.outcome

    def append_issued(self, key: bytes, model: str, call: Call) -> None:
        """Record that the request leaves now."""
        self._open_writer().append_issued(key, model, call)

    def append_outcome(self, key: bytes, model: str, outcome: CallOutcome) -> None:
        """Record the answer or final failure. Raises `orjson.JSONEncodeError` as `finished_line` does."""
        at = time.time()
        line = finished_line(key, model, at, outcome)
        writer = self._open_writer()
        offset = writer.append(line)
        number = self._numbers[writer.calls.path.name]
        self._index([(key, _Position(is_answer(outcome), at, number, offset, len(line)))])

    def append_reused(self, key: bytes, model: str) -> None:
        """Record that the call was answered out of the journal."""
        self._open_writer().append(reused_line(key, model))

    async def refresh(self) -> None:
        """Read what other workers have appended since. Cheap where there is nothing; raises `DataError`.

        Calls go on meanwhile. A reading goes to its end although its refresh is cancelled, and one follows the other.
        """
        self._refreshing = asyncio.create_task(self._read_others(self._refreshing))
        await asyncio.shield(self._refreshing)

    def flush(self) -> None:
        """Commit what was appended so far: it is then on the disk. Any thread may call it."""
        if self._writer:
            self._writer.commit()

    def close(self) -> None:
        """Commit and close all files."""
        writer, self._writer = self._writer, None
        try:
            if writer:
                writer.close()
        finally:
            self._files.close()

    async def _read_others(self, previous: Task[None] | None) -> None:
        if previous:
            await asyncio.wait([previous])
        names = await asyncio.to_thread(segment_names, self._folder)
        own = self._writer and self._writer.calls.path.name
        positions = self._new_positions(self._readers(name for name in names if name != own))
        while piece := await asyncio.to_thread(lambda: list(islice(positions, REFRESH_PIECE))):
            self._index(piece)

    def _readers(self, names: Iterable[str]) -> list[tuple[int, SegmentReader]]:
        return [(number, self._segments[number]) for number in map(self._number, names)]

    def _number(self, name: str) -> int:
        if name not in self._numbers:
            self._numbers[name] = len(self._segments)
            self._segments.append(SegmentReader(self._folder / name))
        return self._numbers[name]

    @staticmethod
    def _new_positions(readers: Iterable[tuple[int, SegmentReader]]) -> Iterator[tuple[bytes, _Position]]:
        for number, segment in readers:
            for offset, length, entry in segment.read_entries():
                if entry.fields:
                    yield entry.key, _Position(entry.is_answered, entry.at, number, offset, length)

    def _index(self, positions: Iterable[tuple[bytes, _Position]]) -> None:
        """Of two positions for one key an answer stays, else the later one."""
        for key, position in positions:
            known = self._positions.get(key)
            if known is None or _unpack(known).rank <= position.rank:
                self._positions[key] = _PACKED.pack(*position)

    def _open_writer(self) -> "_Writer":
        if self._writer is None:
            self._writer = _Writer(self._folder, new_stem(self._run))
            self._number(self._writer.calls.path.name)
        return self._writer


class _Writer:
    """This process's two segments: calls, and the prompts that their lines name by hash."""

    def __init__(self, folder: Path, stem: str) -> None:
        self._prompts = SegmentWriter(folder / (stem + PROMPTS))
        self.calls = SegmentWriter(folder / (stem + SUFFIX))
        self._written_prompts: set[bytes] = set()
        self._failure: DataError | None = None
        self._committer = Committer(self._sync)

    def append_issued(self, key: bytes, model: str, call: Call) -> None:
        """Raises the failure of any earlier append: a shorter line might still fit, but not the answer after it."""
        if self._failure:
            raise self._failure
        prompt = prompt_hash(call)
        if prompt not in self._written_prompts:
            self._append(self._prompts, prompt_line(prompt, call))
            self._written_prompts.add(prompt)
        self.append(issued_line(key, model, prompt))

    def append(self, line: bytes) -> int:
        """Append a line about a call; returns its offset. Raises the error of a failed commit, after the append."""
        offset = self._append(self.calls, line)
        self._committer.notify()
        self._committer.check()
        return offset

    def commit(self) -> None:
        """Commit now. Raises an earlier failure too, for a disk reports it only once."""
        self._sync()
        self._committer.check()

    def close(self) -> None:
        self._committer.stop()
        try:
            self.commit()
        finally:
            self._prompts.close()
            self.calls.close()

    def _sync(self) -> None:
        self._prompts.sync()  # first: a call's prompt is there before the call
        self.calls.sync()

    def _append(self, segment: SegmentWriter, line: bytes) -> int:
        try:
            return segment.append(line)
        except DataError as error:
            self._failure = self._failure or error
            raise


def _unpack(packed: bytes) -> _Position:
    return _Position(*_PACKED.unpack(packed))
