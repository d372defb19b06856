"""Small summaries for reports, and a reader of the page."""

import json
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

from coe_ray.analysis.metrics import Graded, classifier_metrics, grade, system_metrics
from coe_ray.bench.report import render_report
from coe_ray.profile.tasks import DEVOPS_EVAL_A, DEVOPS_EVAL_B

SET_A = tuple(task.name for task in DEVOPS_EVAL_A)
SET_B = tuple(task.name for task in DEVOPS_EVAL_B)


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
    """Tags, attributes and visible text of a report; the tables by the names of their regions, a list a row."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self._text: list[str] = []
        self._region = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend(attrs)
        self._region = dict(attrs).get("aria-label") or self._region
        if tag == "table":
            self.tables[self._region] = []
        elif tag == "tr":
            self.tables[self._region].append([])
        elif tag in ("td", "th"):
            self.tables[self._region][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self._region = ""

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] != "style":
            self._text.append(data)
        rows = self.tables.get(self._region)
        if rows and rows[-1]:
            rows[-1][-1] = " ".join(f"{rows[-1][-1]} {data}".split())

    def column(self, table: str, name: str) -> dict[str, str]:
        """A column by its heading: each row's cell by the row's first one."""
        heading, *rows = self.tables[table]
        place = heading.index(name)
        return {row[0]: row[place] for row in rows}

    @property
    def text(self) -> str:
        return " ".join("".join(self._text).split())


def page(systems: Mapping[str, Any], **changes: Any) -> Page:
    return Page(render_report(summary(systems, **changes)))


PAIRED = {
    "best_single": "rival",
    "questions": 90,
    "method": "clustered bootstrap",
    "difference": 0.032,
    "low": 0.004,
    "high": 0.06,
    "only_first": 45,
    "only_second": 26,
    "p_mcnemar": 0.031,
    "p_bootstrap": 0.004,
    "needed": 1234,
}
"""A verdict of the summary: CoE is better, and that is very sure."""


def paired(**changes: Any) -> Page:
    systems = {"coe": system("coe", 10), "rival": system("rival", 9)}
    return page(systems, verdict={**PAIRED, **changes}, losses=None)
