"""The line of progress: what is done, how fast, how long still; told when it changes and at the end."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from coe_ray.bench import progress
from coe_ray.bench.progress import ProgressCount, ProgressTracker, ProgressUpdate, progress_line, report_progress


@pytest.mark.parametrize(
    ("count", "line"),
    [
        (ProgressCount(0, 0, 0, 400, 0.0), "0/400 questions, 0 %, 0.0/s, starting, 0 failed"),
        (ProgressCount(0, 0, 0, 400, 9.0), "0/400 questions, 0 %, 0.0/s, starting, 0 failed"),
        (ProgressCount(0, 120, 0, 400, 60.0), "120/400 questions, 30 %, 2.0/s, 2 min 20 s left, 0 failed"),
        (ProgressCount(100, 20, 3, 400, 10.0), "120/400 questions, 30 %, 2.0/s, 2 min 20 s left, 3 failed"),
        (ProgressCount(0, 390, 0, 400, 39.0), "390/400 questions, 98 %, 10.0/s, 1 s left, 0 failed"),
        (ProgressCount(0, 400, 0, 400, 59.6), "400/400 questions, 100 %, 6.7/s, 0 s left, 0 failed"),
        (
            ProgressCount(0, 120, 0, 400, 60.0, 64, 8, {"ServerFault": 1, "RateLimited": 2, "CallTimeout": 0}),
            (
                "120/400 questions, 30 %, 2.0/s, 2 min 20 s left, 64 in flight, 8 waiting for rate, "
                "3 backing off (2 RateLimited, 1 ServerFault), 0 failed"
            ),
        ),
        (ProgressCount(0, 1, 0, 2, 59.6), "1/2 questions, 50 %, 0.0/s, 1 min 00 s left, 0 failed"),
    ],
)
def test_a_line_says_how_far_how_fast_and_how_long(count: ProgressCount, line: str) -> None:
    assert progress_line(count) == line


def test_a_question_asked_again_is_counted_once_with_its_last_outcome() -> None:
    desk = ProgressTracker(5, 9)
    desk.tell("a", ProgressUpdate({"1": True, "2": True}))
    desk.tell("b", ProgressUpdate({"1": False}))
    count = desk.read()
    assert (count.earlier, count.done, count.failed, count.total) == (5, 2, 1, 9)


def test_what_the_calls_of_all_examiners_do_is_added_up() -> None:
    desk = ProgressTracker(0, 9)
    desk.tell("a", ProgressUpdate({}, 60, 9, {"RateLimited": 9}))
    desk.tell("a", ProgressUpdate({}, 3, 2, {"RateLimited": 1}))
    desk.tell("b", ProgressUpdate({}, 4, 0, {"RateLimited": 1, "ServerFault": 1}))
    count = desk.read()
    assert (count.in_flight, count.waiting) == (7, 2)
    assert count.backing_off == {"RateLimited": 2, "ServerFault": 1}


def test_the_clock_starts_with_the_first_question() -> None:
    desk = ProgressTracker(0, 9)
    assert desk.read().seconds == 0.0
    desk.tell("a", ProgressUpdate())
    time.sleep(0.02)
    desk.tell("a", ProgressUpdate())
    assert desk.read().seconds >= 0.02


def test_examiners_are_told_to_leave_and_each_says_that_it_has() -> None:
    desk = ProgressTracker(0, 9)
    assert [desk.tell(name, ProgressUpdate()) for name in "ab"] == [False, False]
    desk.leave()
    assert desk.tell("a", ProgressUpdate())
    desk.left("a")
    assert not desk.all_left()
    desk.left("b")
    assert desk.all_left()


class Local:
    """An actor's handle without an actor."""

    def __init__(self, earlier: int, total: int) -> None:
        self.desk = ProgressTracker(earlier, total)

    def __getattr__(self, method: str) -> Any:
        return SimpleNamespace(remote=getattr(self.desk, method))


@pytest.fixture(autouse=True)
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "ray", SimpleNamespace(get=lambda value, timeout: value))
    monkeypatch.setattr(progress, "INTERVAL_S", 0.01)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)


def test_what_changed_is_told_once_and_the_end_always() -> None:
    lines: list[str] = []
    desk = Local(0, 2)
    with report_progress(desk, lines.append):
        desk.tell.remote("a", ProgressUpdate({"1": True}))
        until(lambda: lines)
        time.sleep(0.05)
        assert len(lines) == 1
        desk.tell.remote("a", ProgressUpdate({"2": False}))
        until(lambda: len(lines) > 1)
    assert [line.partition(",")[0] for line in lines] == ["1/2 questions", "2/2 questions", "2/2 questions"]
    assert lines[-1].endswith("1 failed")


def test_the_end_is_told_when_the_work_breaks_off_too() -> None:
    lines: list[str] = []
    with pytest.raises(RuntimeError), report_progress(Local(1, 2), lines.append):
        raise RuntimeError
    assert lines[-1].startswith("1/2")


def test_a_run_that_stands_still_says_why_at_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE_S", 0.05)
    lines: list[str] = []
    desk = Local(0, 2)
    with report_progress(desk, lines.append):
        until(lambda: desk.tell.remote("a", ProgressUpdate({}, 0, 5, {"RateLimited": 3})) or len(lines) > 2)
    assert "5 waiting for rate, 3 backing off (3 RateLimited)" in lines[1]
