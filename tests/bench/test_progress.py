"""The line of progress: what is done, how fast, how long still; told when it changes and at the end."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from coe_ray.bench import progress
from coe_ray.bench.progress import Count, Tally, progress_line, report_progress


@pytest.mark.parametrize(
    ("count", "line"),
    [
        (Count(0, 0, 0, 400, 0.0), "0/400 questions, 0 %, 0.0/s, starting, 0 failed"),
        (Count(0, 0, 0, 400, 9.0), "0/400 questions, 0 %, 0.0/s, starting, 0 failed"),
        (Count(0, 120, 0, 400, 60.0), "120/400 questions, 30 %, 2.0/s, 2 min 20 s left, 0 failed"),
        (Count(100, 20, 3, 400, 10.0), "120/400 questions, 30 %, 2.0/s, 2 min 20 s left, 3 failed"),
        (Count(0, 390, 0, 400, 39.0), "390/400 questions, 98 %, 10.0/s, 1 s left, 0 failed"),
        (Count(0, 400, 0, 400, 59.6), "400/400 questions, 100 %, 6.7/s, 0 s left, 0 failed"),
        (Count(0, 1, 0, 2, 59.6), "1/2 questions, 50 %, 0.0/s, 1 min 00 s left, 0 failed"),
    ],
)
def test_a_line_says_how_far_how_fast_and_how_long(count: Count, line: str) -> None:
    assert progress_line(count) == line


def test_a_question_asked_again_is_counted_once_with_its_last_outcome() -> None:
    tally = Tally(5, 9)
    for id_, failed in (("1", True), ("2", True), ("1", False)):
        tally.add(id_, failed)
    count = tally.read()
    assert (count.earlier, count.done, count.failed, count.total) == (5, 2, 1, 9)


def test_the_clock_starts_with_the_first_question() -> None:
    tally = Tally(0, 9)
    assert tally.read().seconds == 0.0
    tally.begin()
    time.sleep(0.02)
    tally.begin()
    assert tally.read().seconds >= 0.02


class Local:
    """An actor's handle without an actor."""

    def __init__(self, tally: Any) -> None:
        self.tally = tally

    def __getattr__(self, method: str) -> Any:
        return SimpleNamespace(remote=getattr(self.tally, method))


@pytest.fixture(autouse=True)
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def remote(**options: object) -> Callable[[type], Any]:
        return lambda kind: SimpleNamespace(remote=lambda *args: Local(kind(*args)))

    monkeypatch.setattr(progress, "ray", SimpleNamespace(remote=remote, get=lambda value: value))
    monkeypatch.setattr(progress, "INTERVAL_S", 0.01)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)


def test_what_changed_is_told_once_and_the_end_always() -> None:
    lines: list[str] = []
    with report_progress(0, 2, lines.append) as tally:
        tally.add.remote("1", failed=True)
        until(lambda: lines)
        time.sleep(0.05)
        assert len(lines) == 1
        tally.add.remote("2", failed=False)
        until(lambda: len(lines) > 1)
    assert [line.partition(",")[0] for line in lines] == ["1/2 questions", "2/2 questions", "2/2 questions"]
    assert lines[-1].endswith("1 failed")


def test_the_end_is_told_when_the_work_breaks_off_too() -> None:
    lines: list[str] = []
    with pytest.raises(RuntimeError), report_progress(1, 2, lines.append):
        raise RuntimeError
    assert lines[-1].startswith("1/2")
