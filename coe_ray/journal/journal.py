"""The call journal: what every finished call came to, written down before anything else uses it.

    begin → finish    appended at once to this process's own segment (segments.py), committed in groups (committer.py)
    find              key → index (call_index.py) → the line, read from its file
    refresh           what other workers have appended since

A folder's journal survives SIGKILL of any process at any time: at most the calls in flight are made again; after
a power loss also those of the last second. In an object store (places.py) it is the calls since the last seal.
"""

import asyncio
import os
import time
from asyncio import Future
from pathlib import Path

from coe_ray.core.errors import DataError
from coe_ray.core.types import Call
from coe_ray.journal.call_index import CallIndex, Entry
from coe_ray.journal.committer import Committer
from coe_ray.journal.entries import (
    CallOutcome,
    call_key,
    finished_line,
    is_answer,
    issued_line,
    prompt_hash,
    prompt_line,
    record_in,
    reused_line,
)
from coe_ray.journal.segments import PROMPTS, SUFFIX, OpenFiles, OwnSegment, Segment, is_segment, new_stem, unreadable
from coe_ray.journal.storage import JournalStorage, open_storage

__all__ = ["Journal", "call_key"]


class Journal:
    """One process's view of a journal, for one event loop. `under_way` holds what it is asking now, by key.

    Writing raises `DataError` where the disk is full, or where the last commit failed; what was written stays.
    """

    def __init__(self, place: JournalStorage, run: str) -> None:
        self.under_way: dict[bytes, Future[CallOutcome | None]] = {}
        self._place = place
        self._run = run
        self._index = CallIndex()
        self._segments: list[Segment] = []
        self._numbers: dict[str, int] = {}
        self._files = OpenFiles()
        self._writer: _Writer | None = None

    @classmethod
    def open(cls, place: str | Path, run: str = "") -> "Journal":
        """Read the index of all that lies at `place`: a folder, made if missing, or a URI of `pyarrow.fs`.

        Files begin with the name of the `run`, and only with the first write. Raises `DataError` where the place
        cannot be used. Lines that cannot be read are left out and reported: their calls are made again.
        """
        journal = cls(open_storage(place), run)
        try:
            journal._place.fetch()
            journal._read_on()
        except DataError:
            journal.close()
            raise
        for segment in journal._segments:
            segment.report_torn()
        return journal

    def find(self, key: bytes) -> CallOutcome | None:
        """What the call came to when it was last finished. Raises `DataError` where the file was changed since."""
        entry = self._index.get(key)
        if entry is None:
            return None
        path = self._segments[entry.segment].path
        record = record_in(self._files.read(path, entry.offset, entry.length))
        if record is None:
            raise DataError(f"{path}: changed while it was in use (byte {entry.offset}); run the same command again")
        return record.outcome if record.key == key else None

    def begin(self, key: bytes, model: str, call: Call) -> None:
        """The request leaves now."""
        prompt = prompt_hash(call)
        writer = self._written_to()
        writer.check()
        if writer.prompts.get(prompt) is None:
            writer.add_prompt(prompt, prompt_line(prompt, call))
        writer.add(issued_line(key, model, prompt))

    def finish(self, key: bytes, model: str, outcome: CallOutcome) -> None:
        """The call is over, with an answer or for good. Raises `orjson.JSONEncodeError` as `finished_line` does."""
        at = time.time()
        line = finished_line(key, model, at, outcome)
        writer = self._written_to()
        offset = writer.add(line)
        number = self._numbers[writer.calls.path.name]
        self._index.put(key, Entry(is_answer(outcome), at, offset, number, len(line)))

    def reuse(self, key: bytes, model: str) -> None:
        """The call was answered out of the journal."""
        self._written_to().add(reused_line(key, model))

    async def refresh(self) -> None:
        """Read what other workers have written since. Cheap where there is nothing.

        Calls go on while an object store is listed and copied from. Raises `DataError` where that fails.
        """
        await asyncio.to_thread(self._place.fetch)
        self._read_on()

    def _read_on(self) -> None:
        own = self._writer and self._writer.calls.path.name
        for name in self._names():
            if name != own:
                self._read(self._numbered(name))

    def flush(self) -> None:
        """Make safe what was written so far: on the disk, or sealed in the store."""
        if self._writer:
            self._writer.commit()

    def close(self) -> None:
        """Commit, and let go of files and of the temporary folder. The last act."""
        writer, self._writer = self._writer, None
        try:
            if writer:
                writer.close()
        finally:
            self._files.close()
            self._place.close()

    def _names(self) -> list[str]:
        try:
            return sorted(filter(is_segment, os.listdir(self._place.folder)))  # noqa: PTH208  twice as fast
        except OSError as error:
            raise unreadable(self._place.folder, error) from error

    def _numbered(self, name: str) -> int:
        if name not in self._numbers:
            self._numbers[name] = len(self._segments)
            self._segments.append(Segment(self._place.folder / name))
        return self._numbers[name]

    def _read(self, number: int) -> None:
        for offset, length, record in self._segments[number].records():
            if record.told:
                self._index.put(record.key, Entry(record.is_answered, record.at, offset, number, length))

    def _written_to(self) -> "_Writer":
        if self._writer is None:
            self._writer = _Writer(self._place, new_stem(self._run))
            self._numbered(self._writer.calls.path.name)
        return self._writer


class _Writer:
    """This process's own two files. `prompts` knows which prompts were written."""

    def __init__(self, place: JournalStorage, stem: str) -> None:
        self.calls = OwnSegment(place.folder / (stem + SUFFIX))
        self.prompts = CallIndex()
        self._texts = OwnSegment(place.folder / (stem + PROMPTS))
        self._place = place
        self._uncommitted = 0
        self._refused: DataError | None = None
        self._committer = Committer(self._commit, place.within_s)

    def check(self) -> None:
        """Raises what kept a line from being written. A shorter one might still fit, but not the answer after it."""
        if self._refused:
            raise self._refused

    def add_prompt(self, hashed: bytes, line: bytes) -> None:
        self._append(self._texts, line)
        self._uncommitted += len(line)
        self.prompts.put(hashed, Entry(False, 0, 0, 0, 0))

    def add(self, line: bytes) -> int:
        """Append the line, and tell of a commit that failed: after it, so that nothing in hand is lost."""
        offset = self._append(self.calls, line)
        self._uncommitted += len(line)
        self._committer.touch(now=self._uncommitted >= self._place.within_bytes)
        self._committer.check()
        return offset

    def commit(self) -> None:
        """Commit now; tells of an earlier failure too, for a disk reports it only once."""
        self._commit()
        self._committer.check()

    def close(self) -> None:
        self._committer.stop()
        try:
            self.commit()
        finally:
            for each in self._both():
                each.close()

    def _commit(self) -> None:
        self._uncommitted = 0
        self._place.commit(self._both())

    def _append(self, segment: OwnSegment, line: bytes) -> int:
        try:
            return segment.append(line)
        except DataError as error:
            self._refused = self._refused or error
            raise

    def _both(self) -> tuple[OwnSegment, OwnSegment]:
        return self._texts, self.calls  # in this order: a call's prompt is there before it
