"""Files whole or not there; locks that one process holds and that end with it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from coe_ray.core.errors import DataError
from coe_ray.core.files import hold_lock, write_atomic


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert [each.name for each in tmp_path.iterdir()] == ["f.json"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f.json"
    write_atomic(path, b"old")

    def full(_descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"


HOLDER = """
import sys, time
from pathlib import Path
from coe_ray.core.files import hold_lock
with hold_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_lock_is_refused_while_another_process_holds_it_and_free_when_that_is_killed(tmp_path: Path) -> None:
    lock = tmp_path / "run" / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            message = rf"another run works in it \(process {holder.pid} on .*\); wait until"
            with pytest.raises(DataError, match=message), hold_lock(lock):
                pytest.fail("two hold it")
        finally:
            holder.kill()
    with hold_lock(lock):
        pass


def test_who_may_wait_gets_the_lock_when_it_is_free(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        waiter = subprocess.Popen(
            [sys.executable, "-c", HOLDER.replace("Path(sys.argv[1])", "Path(sys.argv[1]), wait=True"), str(lock)],
            stdout=subprocess.PIPE,
            text=True,
        )
        with waiter:
            try:
                holder.kill()
                assert waiter.stdout is not None
                assert waiter.stdout.readline() == "held\n"
            finally:
                holder.kill()
                waiter.kill()
