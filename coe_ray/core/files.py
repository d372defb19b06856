"""Atomic writes of files and folders, and file locks that end with their process."""

import fcntl
import glob
import os
import shutil
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from coe_ray.core.errors import DataError


def write_atomic(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a file that exists only whole, also after a power loss and where two processes write it at once.

    `mode` are the permissions of the new file, less the process's umask.
    """
    with replace_atomic(path) as aside:
        aside.touch(mode, exist_ok=False)
        aside.write_bytes(content)


@contextmanager
def replace_atomic(path: Path) -> Iterator[Path]:
    """A path beside `path` at which to write a file or folder: on the disk and renamed to `path` when the block ends.

    After an error it is removed, and `path` stays as it was. A folder replaces none but an empty one.
    """
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        yield aside
        for part in (aside, *aside.rglob("*")):
            sync_to_disk(part)
        aside.replace(path)
        sync_to_disk(path.parent)  # or the new name is lost with the power
    except BaseException:
        shutil.rmtree(aside) if aside.is_dir() else aside.unlink(missing_ok=True)
        raise


def make_folder_once(folder: Path, fill: Callable[[Path], None]) -> None:
    """Have `fill` write `folder` where there is none: whole, and by one process while others wait for it."""
    if folder.is_dir():
        return
    with hold_lock(folder.with_name(f"{folder.name}.lock"), wait=True):
        if folder.is_dir():
            return
        for left in folder.parent.glob(f"{glob.escape(folder.name)}.*.partial"):  # by a process that was killed
            shutil.rmtree(left)
        with replace_atomic(folder) as aside:
            aside.mkdir()
            fill(aside)


def sync_to_disk(path: Path) -> None:
    """Bring a file's content, or a folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def hold_lock(lock: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the file `lock` (made where it is missing); the system releases it however this process ends.

    While another process holds it: with `wait` waits until it is free, else raises `DataError`.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _acquire(descriptor, lock, wait)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, lock: Path, wait: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
        raise DataError(
            f"{lock.parent}: another run works in it ({holder or 'just begun'}); wait until it has ended, or stop it"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
