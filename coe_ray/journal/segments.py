"""The files of a journal. Each is appended to by one process alone, and read by all.

A line counts once its newline is there. What a crash leaves behind the last newline is never read, and never
cut off either: it may be the line that a living worker is just writing.

On NFS a reader sees what a writer on another machine had committed when it opened the file (close-to-open
consistency): up to the last second's calls may still be hidden from it.
"""

import errno
import logging
import os
import re
import secrets
import socket
from collections.abc import Iterator
from io import BufferedReader, FileIO
from pathlib import Path
from urllib.parse import quote, unquote

from coe_ray.core.errors import DataError
from coe_ray.journal.entries import JournalEntry, record_in

SUFFIX = ".jsonl"
PROMPTS = ".prompts.jsonl"

log = logging.getLogger(__name__)

_READ_AHEAD = 4 << 20
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NAME = re.compile(r"(?P<run>.+)-[^-]+-\d+-[0-9a-f]{8}(-\d{5})?\.jsonl")


def new_stem(run: str) -> str:
    """The beginning of a worker's file names: `<run>-<host>-<process>-<random>`."""
    host = re.sub(r"[^\w.]", "_", socket.gethostname())
    return f"{quote(run or 'calls', safe='')}-{host}-{os.getpid()}-{secrets.token_hex(4)}"


def run_of(name: str) -> str | None:
    """The run that wrote the segment of this name."""
    parts = _NAME.fullmatch(name)
    return unquote(parts["run"]) if parts else None


def is_segment(name: str) -> bool:
    """Whether a file of this name holds calls (prompts stand apart)."""
    return name.endswith(SUFFIX) and not name.endswith(PROMPTS)


class Segment:
    """One file of calls as a reader sees it. It goes on where it stopped; `torn` bytes behind it are no line yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._seen = 0

    @property
    def torn(self) -> int:
        return self._seen - self._offset

    def records(self) -> Iterator[tuple[int, int, JournalEntry]]:
        """Offset, length and record of each line that was not read yet; what is no record is left out and reported.

        Raises `DataError` where the file cannot be read.
        """
        broken: list[int] = []
        for offset, line in self._new_lines():
            if record := record_in(line):
                yield offset, len(line), record
            else:
                broken.append(offset)
        if broken:
            log.warning(
                "%s: %d lines are no records and were left out, the first at byte %d; their calls will be asked again",
                self.path,
                len(broken),
                broken[0],
            )

    def report_torn(self) -> None:
        if self.torn:
            log.warning(
                "%s: the last line has no end and was left out (%d bytes at byte %d); its call will be asked again, "
                "unless its writer is still at it",
                self.path,
                self.torn,
                self._offset,
            )

    def _new_lines(self) -> Iterator[tuple[int, bytes]]:
        try:
            # Opened before its size is looked at: NFS answers a bare stat out of its cache.
            with open(self.path, "rb", buffering=0, opener=_opened_at_once) as file:
                if os.fstat(file.fileno()).st_size != self._seen:
                    yield from self._whole_lines(file)
        except OSError as error:
            raise unreadable(self.path, error) from error

    def _whole_lines(self, file: FileIO) -> Iterator[tuple[int, bytes]]:
        file.seek(self._offset)
        for line in BufferedReader(file, _READ_AHEAD):
            self._seen = self._offset + len(line)
            if line.endswith(b"\n"):
                yield self._offset, line
                self._offset = self._seen


class OwnSegment:
    """A new file that this process alone appends to. `size` counts its whole lines' bytes. Raises `DataError`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o666)
            _sync_folder(path.parent)
        except OSError as error:
            raise unwritable(path, error) from error

    def append(self, line: bytes) -> int:
        """Write a whole line or none of it; returns its offset."""
        start = self.size
        try:
            self._write(line)
        except OSError as error:
            os.ftruncate(self._fd, start)
            raise unwritable(self.path, error) from error
        self.size = start + len(line)
        return start

    def sync(self) -> None:
        """Bring what was written to the disk."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise unwritable(self.path, error) from error

    def close(self) -> None:
        os.close(self._fd)

    def _write(self, line: bytes) -> None:
        while line:
            line = line[os.write(self._fd, line) :]


class OpenFiles:
    """Reads pieces of files; keeps the last few of them open, for there may be more than a process may open."""

    def __init__(self, at_most: int = 64) -> None:
        self._at_most = at_most
        self._fds: dict[Path, int] = {}

    def read(self, path: Path, offset: int, length: int) -> bytes:
        """Raises `DataError` where the file cannot be read."""
        try:
            fd = self._fds[path] if path in self._fds else self._opened(path)
            return os.pread(fd, length, offset)
        except OSError as error:
            raise unreadable(path, error) from error

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.popitem()[1])

    def _opened(self, path: Path) -> int:
        fd = os.open(path, os.O_RDONLY)
        if len(self._fds) >= self._at_most:
            os.close(self._fds.pop(next(iter(self._fds))))
        self._fds[path] = fd
        return fd


def _opened_at_once(path: str, flags: int) -> int:
    """Whatever bears a segment's name: a pipe would wait for its writer."""
    return os.open(path, flags | os.O_NONBLOCK)


def unreadable(path: Path, error: OSError) -> DataError:
    return DataError(
        f"{path}: cannot be read ({error.strerror}); a journal must be readable by those who go on with it"
    )


def unwritable(path: Path, error: OSError) -> DataError:
    """Says whether space is missing, for that is what a person can do something about."""
    if error.errno in _NO_SPACE:
        what, remedy = "no space is left to write to it", "free some space"
    else:
        what, remedy = f"cannot be written ({error.strerror})", "see to the disk"
    return DataError(f"{path}: {what}; nothing written before is lost: {remedy} and run the same command again")


def _sync_folder(folder: Path) -> None:
    """A file's name is safe from power loss only once its folder is."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
