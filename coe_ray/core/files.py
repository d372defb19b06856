"""Files that are there whole or not at all, and locks that end with their process."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coe_ray.core.errors import DataError


def write_atomic(path: Path, content: bytes) -> None:
    """Written aside and renamed: the file exists only whole, also after a power loss."""
    aside = path.with_name(path.name + ".partial")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


@contextmanager
def hold_lock(lock: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the file `lock` (made where it is missing); the system lets go of it however this process ends.

    While another process holds it: with `wait` until it is free, else raises `DataError`.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _take(descriptor, lock, wait)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, lock: Path, wait: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
        raise DataError(
            f"{lock.parent}: another run works in it ({holder or 'just begun'}); wait until it has ended, or stop it"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
