"""What a run writes of its progress, whatever it is at and however it ends."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from coe_ray.bench import progress
from coe_ray.bench import progress_file as notes
from coe_ray.bench.graceful_shutdown import GracefulShutdown
from coe_ray.bench.progress import ProgressTracker, ProgressUpdate
from coe_ray.bench.progress_file import ProgressFile
from coe_ray.core.questions import make_question
from coe_ray.core.run_folder import Progress, RunFolder
from tests.bench.test_progress import Local


@pytest.fixture(autouse=True)
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "ray", SimpleNamespace(get=lambda value, timeout: value))
    monkeypatch.setattr(notes, "NOTE_S", 0.01)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    run.begin({"profile": "small"}, [make_question("Why?")])
    return run


def read(folder: RunFolder) -> Progress:
    found = folder.read_progress()
    assert found
    return found


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)
    assert condition()


def test_a_run_from_its_beginning_to_its_scoring(folder: RunFolder) -> None:
    desk = Local(1, 4)
    its = ProgressFile(folder, 4)
    with its.kept(GracefulShutdown()):
        assert (read(folder).phase, read(folder).total, folder.state()) == ("preparing", 4, "running")
        with its.of(desk):
            news = ProgressUpdate(
                {"1": False, "2": True}, 3, 2, {"RateLimited": 1}, {"2": ["ServerFault", "ServerFault"]}
            )
            desk.tell.remote("a", news)
            until(lambda: read(folder).done == 3)
            told = read(folder)
            assert (told.phase, told.failed, told.in_flight, told.waiting) == ("asking", 1, 3, 2)
            assert (told.backing_off, told.failures) == ({"RateLimited": 1}, {"ServerFault": 2})
            assert told.rate > 0
            desk.tell.remote("a", ProgressUpdate({"3": False}))
    told = read(folder)
    assert (told.phase, told.done, told.in_flight, told.rate) == ("scoring", 4, 0, 0.0)
    assert folder.state() == "running"
    folder.summary.write_text("{}")
    assert folder.state() == "finished"


def test_a_run_that_breaks_off_has_stopped(folder: RunFolder) -> None:
    with pytest.raises(RuntimeError), ProgressFile(folder, 4).kept(GracefulShutdown()):
        raise RuntimeError
    assert (read(folder).phase, folder.state()) == ("stopped", "stopped")


def test_a_run_that_is_told_to_leave_has_stopped(folder: RunFolder) -> None:
    leaving = GracefulShutdown()
    with ProgressFile(folder, 4).kept(leaving):
        for step in leaving._steps:
            step()
        assert read(folder).phase == "stopped"
        time.sleep(0.05)
        assert read(folder).phase == "stopped"


def test_a_disk_that_is_full_does_not_end_the_run(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(RunFolder, "write_progress", full)
    with ProgressFile(folder, 4).kept(GracefulShutdown()):
        time.sleep(0.05)
    assert folder.read_progress() is None


def test_no_thread_is_left(folder: RunFolder) -> None:
    before = threading.active_count()
    with ProgressFile(folder, 4).kept(GracefulShutdown()):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_the_rate_is_that_of_the_last_seconds(folder: RunFolder) -> None:
    its = ProgressFile(folder, 100)
    looks = [(0.0, 0), (10.0, 10), (20.0, 20), (30.0, 80)]
    rates = [its._rate(progress.ProgressCount(0, done, 0, 100, seconds)) for seconds, done in looks]
    assert rates == [0.0, 1.0, 1.0, 6.0]


def test_a_question_that_is_asked_again_failed_only_as_it_did_last() -> None:
    desk: Any = ProgressTracker(0, 9)
    desk.tell("a", ProgressUpdate({"1": True, "2": True}, failures={"1": ["ServerFault"], "2": ["CallTimeout"]}))
    desk.tell("b", ProgressUpdate({"1": False}))
    assert desk.read().failures == {"CallTimeout": 1}
