"""The report and the terminal table: what they say, that text stays text, and that nothing is fetched."""

import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

import pytest

from coe_ray.analysis.metrics import Graded, classifier_metrics, grade, system_metrics
from coe_ray.bench.report import render_report, render_table
from coe_ray.tasks import DEVOPS_EVAL_A, DEVOPS_EVAL_B

SET_A = tuple(task.name for task in DEVOPS_EVAL_A)
SET_B = tuple(task.name for task in DEVOPS_EVAL_B)
SCRIPT = "<script>alert('x')</script>"


def system(name: str, right: int, of: int = 20, *, failed: int = 0, tasks: tuple[str, ...] = SET_A) -> Any:
    """Figures of a system that gets the first `right` of `of` questions right, in each task."""
    rows = [
        Graded(task, "A", letter, grade(letter, "A", failed=number >= of))
        for task in tasks
        for number in range(of + failed)
        for letter in ["A" if number < right else "B"]
    ]
    return system_metrics(rows)


def summary(systems: Mapping[str, Any], *, tasks: tuple[str, ...] = SET_A, **changes: Any) -> dict[str, Any]:
    """A summary as it comes back from `summary.json`."""
    pairs = [(task, task) for task in tasks] + [(tasks[0], "unknown")]
    whole = {
        "rows": 100,
        "rejected": 3,
        "incomplete": False,
        "systems": systems,
        "classifier": classifier_metrics(pairs, tasks),
        "calls": {"issued": 1200, "completed": 1199, "reused": 30, "repeated": 2, "abandoned": 1, "retried": 4}
        | {"failed": 0, "prompt_tokens": 90_000, "completion_tokens": 12_345, "cost": None, "by_model": {}},
        "failures": [],
        "seconds": 3723.4,
        "profile": "local-cpu",
        "version": "0.1.0",
        "data": "sample",
        "split": "test",
        "commit": "3f2a9c1d",
        "command": "python jobs/bench.py --data sample",
        "created": "2025-06-01T14:05:33+00:00",
        "leaderboard": {"version": "v7", "mapping": "cross-fitted", "note": "Five folds."},
        **changes,
    }
    back: dict[str, Any] = json.loads(json.dumps(whole))
    return back


class Page(HTMLParser):
    """Tags, attributes and visible text of a report."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self._text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend(attrs)

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] != "style":
            self._text.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self._text).split())


def page(systems: Mapping[str, Any], **changes: Any) -> Page:
    return Page(render_report(summary(systems, **changes)))


def test_the_verdict_names_difference_rival_and_that_intervals_are_apart() -> None:
    text = page({"weak": system("weak", 2), "coe": system("coe", 19), "strong": system("strong", 10)}).text
    assert "CoE is 45.0 points above strong" in text
    assert "The intervals do not overlap." in text
    assert "Incomplete" not in text


@pytest.mark.parametrize(("right", "headline"), [(9, "5.0 points below rival"), (10, "level with rival")])
def test_the_verdict_says_when_the_figures_do_not_tell_systems_apart(right: int, headline: str) -> None:
    text = page({"coe": system("coe", right), "rival": system("rival", 10)}).text
    assert f"CoE is {headline}" in text
    assert "The intervals overlap" in text


@pytest.mark.parametrize(
    ("systems", "headline"),
    [
        ({"coe": system("coe", 10)}, "CoE answers 50.0% of the questions right"),
        (
            {"coe": system("coe", 10), "down": system("down", 0, 0, failed=2)},
            "CoE answers 50.0% of the questions right",
        ),
        ({"coe": system("coe", 0, 0, failed=2), "x": system("x", 5)}, "No answer of CoE could be scored"),
        ({"coe": system_metrics([])}, "No answer of CoE could be scored"),
    ],
    ids=["no expert", "expert without figures", "coe without figures", "nothing at all"],
)
def test_without_two_figures_nothing_is_compared(systems: Mapping[str, Any], headline: str) -> None:
    whole = summary(systems)
    assert headline in Page(render_report(whole)).text
    assert "coe" in render_table(whole)


def test_failed_rows_make_it_incomplete_everywhere() -> None:
    whole = summary({"coe": system("coe", 10, failed=1), "x": system("x", 10, failed=1)}, incomplete=True)
    for text in (Page(render_report(whole)).text, render_table(whole)):
        assert "Incomplete: 10 answers failed and are left out" in text


def test_a_run_that_stopped_early_is_incomplete_without_failures() -> None:
    assert "Incomplete: not every question has been answered." in page({"coe": system("coe", 1)}, incomplete=True).text


def test_every_name_and_note_shows_as_text() -> None:
    tasks = (SCRIPT, "Code")
    leaderboard = {"version": SCRIPT, "mapping": "profile", "note": SCRIPT}
    texts = dict.fromkeys(("profile", "version", "data", "split", "commit", "command"), SCRIPT)
    systems = {"coe": system("coe", 3, tasks=tasks), SCRIPT: system(SCRIPT, 4, tasks=tasks)}
    whole = summary(systems, tasks=tasks, leaderboard=leaderboard, **texts)
    html = render_report(whole)
    shown = Page(html)
    assert "<script" not in html.lower()
    assert "script" not in shown.tags
    assert shown.text.count(SCRIPT) >= 10


def test_nothing_is_fetched_and_nothing_runs() -> None:
    html = render_report(summary({"coe": system("coe", 10), "x": system("x", 5)}))
    shown = Page(html)
    assert not re.search(r"https?:|url\(|@import", html)
    assert not {"script", "link", "img", "iframe", "object", "form", "a"} & {*shown.tags}
    assert not [name for name, _ in shown.attributes if name.startswith("on") or name in {"src", "href"}]


def test_how_it_was_made_is_told() -> None:
    text = page({"coe": system("coe", 10)}, commit=None).text
    for part in (
        "1 June 2025, 14:05 UTC",
        "1 h 2 min",
        "local-cpu",
        "python jobs/bench.py --data sample",
        "v7",
    ):
        assert part in text
    assert "not known" in text
    assert "no question was routed by a leaderboard that had seen its own answer. Five folds." in text
    assert "1,200" in text


def test_the_best_expert_of_a_task_is_marked_by_a_sign_and_coe_never_is() -> None:
    whole = summary({"coe": system("coe", 20), "a": system("a", 10), "b": system("b", 10), "c": system("c", 9)})
    assert render_report(whole).count("▲ </span>") == 2 * len(SET_A)  # a and b are equals
    assert render_table(whole).count("50.0*") == 2 * len(SET_A)
    assert "100.0*" not in render_table(whole)


def test_a_classifier_that_was_never_asked_shows_dashes() -> None:
    text = page({"coe": system("coe", 10)}, classifier=classifier_metrics([], SET_A)).text
    assert "over 0 questions" in text
    assert "nan" not in text.lower().split()


def test_the_table_puts_coe_first_then_the_most_accurate() -> None:
    systems = {"low": system("low", 1), "down": system("down", 0, 0, failed=1), "high": system("high", 19)}
    lines = render_table(summary({**systems, "coe": system("coe", 10)})).splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["coe", "high", "low", "down"]
    assert lines[1].split() == ["coe", "50.0", "±", "9.6", "50", "50", "0", "0", "0"]
    assert lines[4].split()[:2] == ["down", "–"]


def test_short_task_names_are_spelled_out_below() -> None:
    table = " ".join(render_table(summary({"coe": system("coe", 10)})).split())
    assert "by task, % LP RCA TSAD TSC TSF" in table
    assert "TSAD = Time Series Anomaly Detection" in table


def test_tasks_with_equal_initials_are_numbered() -> None:
    tasks = ("Root Cause Analysis", "Risk Control Analysis")
    table = render_table(summary({"coe": system("coe", 10, tasks=tasks)}, tasks=tasks))
    assert "T1 = Root Cause Analysis\nT2 = Risk Control Analysis" in table


def columns(line: str) -> int:
    return sum(2 if "一" <= character <= "鿿" else 1 for character in line)


@pytest.mark.parametrize("tasks", [SET_A, SET_B, tuple(f"任务名称很长很长{n}" for n in range(8))])
def test_the_table_keeps_to_a_hundred_columns(tasks: tuple[str, ...]) -> None:
    names = (
        "coe",
        "a-model-with-a-name-that-goes-on-and-on-7B-Instruct-v0.3",
        "一个名字非常非常非常非常长的中文大语言模型",
    )
    systems = {name: system(name, 20, failed=2, tasks=tasks) for name in names}
    table = render_table(summary(systems, tasks=tasks))
    assert max(map(columns, table.splitlines())) <= 100
    assert "by task" in table


def test_nine_tasks_are_left_to_the_report() -> None:
    tasks = tuple(f"Task {number}" for number in range(9))
    assert "by task" not in render_table(summary({"coe": system("coe", 1, tasks=tasks)}, tasks=tasks))
