"""Segments: the files of a journal. Each is appended to by one process alone and read by all.

A line counts once its newline is there. Bytes after the last newline are never read and never cut off: they may be
the line that another worker is just writing.

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

from coe_ray.core.errors import ConfigError, DataError
from coe_ray.core.files import sync_to_disk
from coe_ray.journal.entries import JournalEntry, parse_entry

SUFFIX = ".jsonl"
PROMPTS = ".prompts.jsonl"

log = logging.getLogger(__name__)

_READ_AHEAD = 4 << 20
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NAME = re.compile(r"(?P<run>.+)-[^-]+-\d+-[0-9a-f]{8}(-\d{5})?\.jsonl")


def journal_folder(place: str | Path) -> Path:
    """The journal's folder, made where it is missing.

    Raises `ConfigError` for a URI (its password is not shown) and `DataError` where there can be no folder.
    """
    check_is_folder(place)
    folder = Path(place)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise DataError(f"{folder}: not a folder, so it cannot hold a journal; name another place") from None
    except OSError as error:
        raise _unreadable(folder, error) from error
    return folder


def check_is_folder(place: str | Path) -> None:
    """Raises `ConfigError` for a URI: a journal lies in files that are appended to, which object stores cannot do."""
    scheme, separator, _ = str(place).partition("://")
    if separator:
        raise ConfigError(
            f"journal {scheme}://…: object stores hold no journal; give a folder on storage that all nodes share"
        )


def new_stem(run: str) -> str:
    """The beginning of a worker's file names: `<run>-<host>-<process>-<random>`."""
    host = re.sub(r"[^\w.]", "_", socket.gethostname())
    return f"{quote(run or 'calls', safe='')}-{host}-{os.getpid()}-{secrets.token_hex(4)}"


def run_of(name: str) -> str | None:
    """The run that wrote the segment of this name."""
    parts = _NAME.fullmatch(name)
    return unquote(parts["run"]) if parts else None


def is_segment(name: str) -> bool:
    """Whether a file of this name holds calls; prompts are in files of their own."""
    return name.endswith(SUFFIX) and not name.endswith(PROMPTS)


def segment_names(folder: Path) -> list[str]:
    """The names of the files with calls, sorted. Raises `DataError` where the folder cannot be read."""
    try:
        return sorted(filter(is_segment, os.listdir(folder)))  # noqa: PTH208  twice as fast
    except OSError as error:
        raise _unreadable(folder, error) from error


class SegmentReader:
    """Reader of one file of calls. Each reading continues where the last one stopped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._seen = 0

    def read_entries(self) -> Iterator[tuple[int, int, JournalEntry]]:
        """Offset, length and entry of each new line. Lines that hold no entry are left out and logged.

        Raises `DataError` where the file cannot be read.
        """
        broken: list[int] = []
        for offset, line in self._new_lines():
            if entry := parse_entry(line):
                yield offset, len(line), entry
            else:
                broken.append(offset)
        if broken:
            log.warning(
                "%s: %d lines are no entries and were left out, the first at byte %d; their calls will be made again",
                self.path,
                len(broken),
                broken[0],
            )

    def log_torn_line(self) -> None:
        """Log bytes after the last newline, if there are any."""
        if self._seen > self._offset:
            log.warning(
                "%s: the last line has no end and was left out (%d bytes at byte %d); its call will be made again, "
                "unless its writer still appends to it",
                self.path,
                self._seen - self._offset,
                self._offset,
            )

    def _new_lines(self) -> Iterator[tuple[int, bytes]]:
        try:
            # Opened before its size is looked at: NFS answers a bare stat out of its cache.
            with open(self.path, "rb", buffering=0, opener=_open_nonblocking) as file:
                if os.fstat(file.fileno()).st_size != self._seen:
                    yield from self._whole_lines(file)
        except OSError as error:
            raise _unreadable(self.path, error) from error

    def _whole_lines(self, file: FileIO) -> Iterator[tuple[int, bytes]]:
        file.seek(self._offset)
        for line in BufferedReader(file, _READ_AHEAD):
            self._seen = self._offset + len(line)
            if line.endswith(b"\n"):
                yield self._offset, line
                self._offset = self._seen


class SegmentWriter:
    """Writer of a new file that this process alone appends to. Raises `DataError`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._size = 0
        self._is_listed = False
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o666)
        except OSError as error:
            raise _unwritable(path, error) from error

    def append(self, line: bytes) -> int:
        """Write a whole line or nothing of it; returns its offset. It survives the process, not yet a power failure."""
        start = self._size
        try:
            rest = line
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            os.ftruncate(self._fd, start)
            raise _unwritable(self.path, error) from error
        self._size += len(line)
        return start

    def sync(self) -> None:
        """Bring what was appended to the disk, and at the first time the file's name."""
        try:
            os.fsync(self._fd)
            if not self._is_listed:
                sync_to_disk(self.path.parent)  # or its name is lost with the power
                self._is_listed = True
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def close(self) -> None:
        os.close(self._fd)


class FilePool:
    """Reader of pieces of many files; keeps the last `at_most` of them open."""

    def __init__(self, at_most: int = 64) -> None:
        self._at_most = at_most
        self._fds: dict[Path, int] = {}

    def read(self, path: Path, offset: int, length: int) -> bytes:
        """Raises `DataError` where the file cannot be read."""
        try:
            fd = self._fds[path] if path in self._fds else self._open(path)
            return os.pread(fd, length, offset)
        except OSError as error:
            raise _unreadable(path, error) from error

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.popitem()[1])

    def _open(self, path: Path) -> int:
        fd = os.open(path, os.O_RDONLY)
        if len(self._fds) >= self._at_most:
            os.close(self._fds.pop(next(iter(self._fds))))
        self._fds[path] = fd
        return fd


def _open_nonblocking(path: str, flags: int) -> int:
    """A pipe with a segment's name would wait for its writer."""
    return os.open(path, flags | os.O_NONBLOCK)


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path}: cannot be read ({error.strerror}); everyone who continues a journal must be able to")


def _unwritable(path: Path, error: OSError) -> DataError:
    """Says whether space is missing: a person can free some."""
    if error.errno in _NO_SPACE:
        what, remedy = "no space is left to write to it", "free some space"
    else:
        what, remedy = f"cannot be written ({error.strerror})", "see to the disk"
    return DataError(f"{path}: {what}; nothing written before is lost: {remedy} and run the same command again")
