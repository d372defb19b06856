"""Progress of a bench: what workers report is added up, shown in a line and written to `progress.json`."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from coe_ray.bench import progress
from coe_ray.bench.graceful_shutdown import GracefulShutdown
from coe_ray.bench.progress import ProgressReporter, ProgressTracker, ProgressUpdate, commit_workers, progress_line
from coe_ray.core.questions import make_question
from coe_ray.core.run_folder import Progress, RunFolder


class LocalTracker:
    """Handle of a tracker that is no actor."""

    def __init__(self, total: int) -> None:
        self.tracker = ProgressTracker(total)

    def __getattr__(self, method: str) -> Any:
        return SimpleNamespace(remote=getattr(self.tracker, method))


@pytest.fixture(autouse=True)
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "ray", SimpleNamespace(get=lambda value, timeout: value))
    monkeypatch.setattr(progress, "WRITE_INTERVAL_S", 0.01)
    monkeypatch.setattr(progress, "LINE_INTERVAL_S", 0.0)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    run.begin({"profile": "small"}, [make_question("Why?")])
    return run


def reporter(folder: RunFolder, total: int = 4, lines: list[str] | None = None) -> ProgressReporter:
    return ProgressReporter(folder, total, print if lines is None else lines.append)


@contextmanager
def asking(folder: RunFolder, tracker: LocalTracker, lines: list[str] | None = None) -> Iterator[None]:
    its = reporter(folder, tracker.tracker.read().total, lines)
    with its.running(GracefulShutdown()), its.reading(tracker):
        yield


def read(folder: RunFolder) -> Progress:
    written = folder.read_progress()
    assert written
    return written


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)
    assert condition()


# The line


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        (Progress(400), "0/400 questions, 0 %, 0.0/s, starting, 0 failed"),
        (Progress(400, 120, rate=2.0), "120/400 questions, 30 %, 2.0/s, 2 min 20 s left, 0 failed"),
        (Progress(400, 120, 3, rate=2.0), "120/400 questions, 30 %, 2.0/s, 2 min 20 s left, 3 failed"),
        (Progress(400, 120), "120/400 questions, 30 %, 0.0/s, standing still, 0 failed"),
        (Progress(400, 390, rate=10.0), "390/400 questions, 98 %, 10.0/s, 1 s left, 0 failed"),
        (Progress(400, 400, rate=6.71), "400/400 questions, 100 %, 6.7/s, 0 s left, 0 failed"),
        (Progress(400, 400), "400/400 questions, 100 %, 0.0/s, 0 s left, 0 failed"),
        (
            Progress(400, 120, 0, 2.0, 64, 8, {"ServerFault": 1, "RateLimited": 2, "CallTimeout": 0}),
            (
                "120/400 questions, 30 %, 2.0/s, 2 min 20 s left, 64 in flight, 8 waiting for rate, "
                "3 backing off (2 RateLimited, 1 ServerFault), 0 failed"
            ),
        ),
        (Progress(2, 1, rate=1 / 59.6), "1/2 questions, 50 %, 0.0/s, 1 min 00 s left, 0 failed"),
    ],
)
def test_a_line_says_how_far_how_fast_and_how_long(counts: Progress, line: str) -> None:
    assert progress_line(counts) == line


# What workers report


def test_a_repeated_question_is_counted_once_with_its_last_outcome() -> None:
    tracker = ProgressTracker(9)
    tracker.report("a", ProgressUpdate({"1": ["ServerFault"], "2": ["CallTimeout", "CallTimeout"]}))
    tracker.report("b", ProgressUpdate({"1": []}))
    counts = tracker.read()
    assert (counts.done, counts.failed, counts.total) == (2, 1, 9)
    assert counts.failures == {"CallTimeout": 2}


def test_what_the_calls_of_all_workers_do_is_added_up() -> None:
    tracker = ProgressTracker(9)
    tracker.report("a", ProgressUpdate({}, 60, 9, {"RateLimited": 9}))
    tracker.report("a", ProgressUpdate({}, 3, 2, {"RateLimited": 1}))
    tracker.report("b", ProgressUpdate({}, 4, 0, {"RateLimited": 1, "ServerFault": 1}))
    counts = tracker.read()
    assert (counts.in_flight, counts.waiting) == (7, 2)
    assert counts.backing_off == {"RateLimited": 2, "ServerFault": 1}


def test_a_worker_that_is_silent_for_long_has_no_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = ProgressTracker(9)
    tracker.report("a", ProgressUpdate({"1": []}, 60, 9))
    monkeypatch.setattr(progress, "WORKER_SILENT_S", 0.0)
    assert (tracker.read().in_flight, tracker.read().done) == (0, 1)


def test_workers_are_asked_to_stop_and_each_confirms_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_INTERVAL_S", 5.0)
    tracker = ProgressTracker(9)
    assert [tracker.report(name, ProgressUpdate()) for name in "ab"] == [False, False]
    tracker.request_stop()
    assert tracker.report("a", ProgressUpdate())
    tracker.confirm_commit("a")
    assert not tracker.all_committed()
    tracker.confirm_commit("b")
    assert tracker.all_committed()


def test_a_commit_is_waited_for_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_INTERVAL_S", 5.0)
    monkeypatch.setattr(progress, "COMMIT_TIMEOUT_S", 0.2)
    tracker = LocalTracker(9)
    tracker.tracker.report("dead", ProgressUpdate())
    commit_workers(tracker)
    assert tracker.tracker.report("dead", ProgressUpdate())


# Lines that are reported


def test_what_changed_is_reported_once_and_the_end_always(folder: RunFolder) -> None:
    lines: list[str] = []
    tracker = LocalTracker(2)
    with asking(folder, tracker, lines):
        tracker.tracker.report("a", ProgressUpdate({"1": ["ServerFault"]}))
        until(lambda: lines)
        time.sleep(0.05)
        assert len(lines) == 1
        tracker.tracker.report("a", ProgressUpdate({"2": []}))
        until(lambda: len(lines) > 1)
    assert [line.partition(",")[0] for line in lines] == ["1/2 questions", "2/2 questions", "2/2 questions"]
    assert lines[-1].endswith("1 failed")


def test_the_end_is_reported_when_the_run_breaks_off_too(folder: RunFolder) -> None:
    lines: list[str] = []
    tracker = LocalTracker(2)
    tracker.tracker.report("a", ProgressUpdate({"1": []}))
    with pytest.raises(RuntimeError), asking(folder, tracker, lines):
        raise RuntimeError
    assert lines[-1].startswith("1/2")


def test_a_run_that_stands_still_says_why_at_times(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "REPEAT_LINE_S", 0.05)
    lines: list[str] = []
    tracker = LocalTracker(2)
    tracker.tracker.report("a", ProgressUpdate({}, 0, 5, {"RateLimited": 3}))
    with asking(folder, tracker, lines):
        until(lambda: len(lines) > 2)
    assert "5 waiting for rate, 3 backing off (3 RateLimited)" in lines[1]


# progress.json


def test_a_run_from_its_beginning_to_its_scoring(folder: RunFolder) -> None:
    tracker = LocalTracker(4)
    its = reporter(folder)
    with its.running(GracefulShutdown()):
        assert (read(folder).phase, read(folder).total, folder.state()) == ("preparing", 4, "running")
        with its.reading(tracker):
            update = ProgressUpdate({"1": [], "2": ["ServerFault", "ServerFault"]}, 3, 2, {"RateLimited": 1})
            tracker.tracker.report("a", update)
            until(lambda: read(folder).done == 2)
            written = read(folder)
            assert (written.phase, written.failed, written.in_flight, written.waiting) == ("asking", 1, 3, 2)
            assert (written.backing_off, written.failures) == ({"RateLimited": 1}, {"ServerFault": 2})
            assert written.rate > 0
            tracker.tracker.report("a", ProgressUpdate({"3": []}))
    written = read(folder)
    assert (written.phase, written.done, written.in_flight, written.rate) == ("scoring", 3, 0, 0.0)
    assert folder.state() == "running"
    folder.summary.write_text("{}")
    assert folder.state() == "finished"


def test_a_run_that_breaks_off_has_stopped(folder: RunFolder) -> None:
    with pytest.raises(RuntimeError), reporter(folder).running(GracefulShutdown()):
        raise RuntimeError
    assert (read(folder).phase, folder.state()) == ("stopped", "stopped")


def test_a_run_that_is_shut_down_has_stopped(folder: RunFolder) -> None:
    shutdown = GracefulShutdown()
    with reporter(folder).running(shutdown):
        shutdown.take_steps()
        assert read(folder).phase == "stopped"
        time.sleep(0.05)
        assert read(folder).phase == "stopped"


def test_a_full_disk_does_not_end_the_run(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(RunFolder, "write_progress", full)
    with reporter(folder).running(GracefulShutdown()):
        time.sleep(0.05)
    assert folder.read_progress() is None


def test_no_thread_is_left(folder: RunFolder) -> None:
    before = threading.active_count()
    with reporter(folder).running(GracefulShutdown()):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_the_rate_is_that_of_the_last_seconds_and_begins_with_the_first_question(folder: RunFolder) -> None:
    its = reporter(folder, 100)
    reads = [(0.0, 0), (100.0, 0), (110.0, 10), (120.0, 20), (130.0, 80)]
    rates = [its._rate(Progress(100, done, at=at)) for at, done in reads]
    assert rates == [0.0, 0.0, 1.0, 1.0, 6.0]
