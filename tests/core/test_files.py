"""Files whole or not there; locks that one process holds and that end with it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from coe_ray.core.errors import DataError
from coe_ray.core.files import hold_lock, make_folder_once, replace_atomic, write_atomic


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
    assert [each.name for each in tmp_path.iterdir()] == ["f.json"]


def test_content_and_name_are_on_the_disk_before_a_write_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced = tmp_path / "f.json", []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append((_path(descriptor), path.exists())))
    write_atomic(path, b"new")
    (aside, before), (folder, after) = synced
    assert (aside.parent, before) == (tmp_path, False)
    assert (folder, after) == (tmp_path, True)


def test_every_file_of_a_folder_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(_path(descriptor).name))
    with replace_atomic(tmp_path / "folder") as aside:
        (aside / "inner").mkdir(parents=True)
        (aside / "inner" / "file").write_bytes(b"content")
    assert synced[-1] == tmp_path.name
    assert {"inner", "file"} < set(synced)
    assert (tmp_path / "folder" / "inner" / "file").read_bytes() == b"content"


def _path(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()


def test_two_that_write_one_file_at_once_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    with replace_atomic(path) as first, replace_atomic(path) as second:
        first.write_bytes(b"first")
        second.write_bytes(b"second")
    assert path.read_bytes() == b"first"
    assert [each.name for each in tmp_path.iterdir()] == ["f.json"]


@pytest.mark.parametrize(("mode", "given"), [(0o666, 0o644), (0o600, 0o600)])
def test_a_file_has_its_mode_less_the_umask(tmp_path: Path, mode: int, given: int) -> None:
    before = os.umask(0o022)
    try:
        write_atomic(tmp_path / "f", b"", mode)
    finally:
        os.umask(before)
    assert (tmp_path / "f").stat().st_mode & 0o777 == given


def test_a_folder_that_cannot_be_filled_is_not_there_and_is_filled_the_next_time(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "folder"

    def fails(aside: Path) -> None:
        (aside / "file").write_bytes(b"half")
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        make_folder_once(folder, fails)
    assert [each.name for each in folder.parent.iterdir()] == ["folder.lock"]
    left = folder.with_name("folder.0123abcd.partial")
    left.mkdir()
    make_folder_once(folder, lambda aside: (aside / "file").touch())
    make_folder_once(folder, lambda aside: pytest.fail("it is there"))
    assert sorted(each.name for each in folder.parent.iterdir()) == ["folder", "folder.lock"]


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
