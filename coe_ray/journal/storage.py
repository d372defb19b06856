"""Where a journal lies: a folder, local or shared, or an object store behind a URI of `pyarrow.fs`.

A folder's files are appended to in place. An object cannot be: its lines are collected in a file of a temporary
folder, and what is new of it is sealed as one more object from time to time.
"""

import math
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pyarrow import ArrowException, fs

from coe_ray.core.errors import DataError
from coe_ray.journal.segments import PROMPTS, SUFFIX, OwnSegment, is_segment, unreadable

_DOWNLOADS = 16


class JournalStorage(Protocol):
    """`folder` is where this process reads and appends.

    What it wrote is committed after `within_s` seconds, or when it is `within_bytes`, whichever comes first.
    """

    folder: Path
    within_s: float
    within_bytes: float

    def fetch(self) -> None:
        """Bring what others have written into `folder`. Any thread may do it: it takes as long as the network."""
        ...

    def commit(self, own: Sequence[OwnSegment]) -> None:
        """Make what was written so far safe."""
        ...

    def close(self) -> None:
        """Leave nothing of one's own behind."""
        ...


def open_storage(place: str | Path) -> JournalStorage:
    """Raises `DataError` where there can be no journal."""
    return ObjectStore(str(place)) if "://" in str(place) else Folder(Path(place))


class Folder:
    """A folder that every worker sees. It is made where it is missing."""

    within_s = 0.5  # and an fsync, which together stay below a second
    within_bytes = math.inf

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise DataError(f"{folder}: not a folder, so no journal can lie there; name another place") from None
        except OSError as error:
            raise unreadable(folder, error) from error

    def fetch(self) -> None:
        pass

    def commit(self, own: Sequence[OwnSegment]) -> None:
        for segment in own:
            segment.sync()

    def close(self) -> None:
        pass


class _Sealed(NamedTuple):
    """How far a file is sealed, in bytes, and in how many objects."""

    end: int = 0
    objects: int = 0


class ObjectStore:
    """Objects below a URI. What a crash takes are the calls since the last seal: they are made again.

    Sealed objects never change. They are copied once into a temporary folder, to be read there.
    """

    within_s: float = 30.0
    within_bytes: float = 8 << 20

    def __init__(self, uri: str) -> None:
        scheme = uri.partition("://")[0]
        opened = _opened(uri)
        if opened is None:
            raise DataError(
                f"{scheme}://…: cannot be opened for a journal; check the scheme, the address and the credentials"
            )
        self._store, self._base = opened
        self._shown = f"{scheme}://{self._base}"
        self._temporary = tempfile.TemporaryDirectory(prefix="coe-journal-")
        self.folder = Path(self._temporary.name)
        self._lock = threading.Lock()
        self._fetching = threading.Lock()
        self._sealed: dict[Path, _Sealed] = {}
        self._own: set[str] = set()

    def fetch(self) -> None:
        with self._fetching, self._told(), ThreadPoolExecutor(_DOWNLOADS) as pool:
            found = self._store.get_file_info(fs.FileSelector(self._base, allow_not_found=True))
            list(pool.map(self._copy, [each for each in found if self._is_news(each)]))

    def commit(self, own: Sequence[OwnSegment]) -> None:
        """Seal what is new of each file as one more object."""
        with self._lock, self._told():
            for segment in own:
                self._seal(segment)

    def close(self) -> None:
        with self._fetching:  # who was waiting for it may have been cancelled
            self._temporary.cleanup()

    def _is_news(self, found: Any) -> bool:
        """By its size: stores that are folders in truth show an object before it is whole."""
        if not is_segment(found.base_name) or found.base_name in self._own:
            return False
        copy = self.folder / found.base_name
        return not copy.exists() or copy.stat().st_size != found.size

    def _copy(self, found: Any) -> None:
        copy = self.folder / found.base_name
        copy.touch()  # and written over, not anew: it may be read at this moment
        with self._store.open_input_stream(found.path, compression=None) as source, copy.open("r+b") as sink:
            shutil.copyfileobj(source, sink)

    def _seal(self, segment: OwnSegment) -> None:
        sealed, end = self._sealed.get(segment.path, _Sealed()), segment.size
        if sealed.end == end:
            return
        with segment.path.open("rb") as file:
            file.seek(sealed.end)
            content = file.read(end - sealed.end)
        # Under the same name again after a failure, which may have left an object: no line shall be there twice.
        self._upload(_numbered(segment.path.name, sealed.objects + 1), content)
        self._sealed[segment.path] = _Sealed(end, sealed.objects + 1)

    def _upload(self, name: str, content: bytes) -> None:
        if not self._sealed:
            self._store.create_dir(self._base)
        self._own.add(name)
        with self._store.open_output_stream(f"{self._base}/{name}", compression=None) as sink:
            sink.write(content)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ArrowException) as error:
            raise DataError(
                f"{self._shown}: the journal's store fails ({error}); calls that are not sealed yet will be made "
                "again: see to the store and run the same command again"
            ) from error


def _opened(uri: str) -> tuple[Any, str] | None:
    """The store and the path in it. No error leaves: they quote the URI, in which a password may stand."""
    try:
        store, path = fs.FileSystem.from_uri(uri)
    except (OSError, ArrowException):
        return None
    return store, path.rstrip("/")


def _numbered(name: str, number: int) -> str:
    suffix = PROMPTS if name.endswith(PROMPTS) else SUFFIX
    return f"{name.removesuffix(suffix)}-{number:05}{suffix}"
