"""Who is how good at what: systems, tasks and the classifier, out of `summary.json`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coe_ray.bench.report.axes import Axis, linear
from coe_ray.bench.report.radar import FEWEST, MOST, Radar, radar
from coe_ray.bench.scoring import COE

COUNTS = ("correct", "wrong", "unparsed", "refused", "failed")

CALLS = ("issued", "completed", "reused", "repeated", "abandoned", "retried", "failed")

DRAWN_EXPERTS = 3
"""Experts beside CoE in the chart of tasks: more lines than four are not told apart."""

Systems = Mapping[str, Any]


# Systems and tasks


def ranked(systems: Systems) -> dict[str, Any]:
    """CoE first, then by accuracy, those without figures last."""

    def place(name: str) -> tuple[bool, float, str]:
        accuracy = systems[name]["accuracy"]
        return name != COE, math.inf if accuracy is None else -accuracy, name

    return {name: systems[name] for name in sorted(systems, key=place)}


def best_expert(systems: Systems) -> str | None:
    """The most accurate system beside CoE; the first by name among equals."""
    return next(iter(_scored_experts(systems)), None)


def tasks(summary: Mapping[str, Any]) -> list[str]:
    """Tasks that any system was asked about, in the classifier's order where it has one."""
    asked = {task for system in summary["systems"].values() for task in system["per_task"]}
    order = summary["classifier"]["confusion"]["labels"]
    return [task for task in order if task in asked] + sorted(asked.difference(order))


def best_by_task(summary: Mapping[str, Any]) -> dict[str, set[str]]:
    """For each task its most accurate experts: all of them, where several are equal."""
    return {task: _best_at(task, summary["systems"]) for task in tasks(summary)}


def accuracies(systems: Systems) -> Axis:
    """The axis that all drawings of intervals share."""
    return linear((end for system in systems.values() for end in system["ci95"] or ()), 4)


def task_accuracies(systems: Systems) -> Axis:
    """The same for intervals by task."""
    rows = (row for system in systems.values() for row in system["per_task"].values())
    return linear((end for row in rows for end in row["ci95"] or ()), 5)


def by_task(summary: Mapping[str, Any]) -> Radar | None:
    """CoE and the best few experts; None where a radar is no help."""
    names = tasks(summary)
    if not FEWEST <= len(names) <= MOST:
        return None
    shown = [COE, *_scored_experts(summary["systems"])[:DRAWN_EXPERTS]]
    rows = {name: summary["systems"][name]["per_task"] for name in shown}
    return radar(names, {name: [row.get(task, {}).get("accuracy") for task in names] for name, row in rows.items()})


def _scored_experts(systems: Systems) -> list[str]:
    return [name for name, system in ranked(systems).items() if name != COE and system["accuracy"] is not None]


def _best_at(task: str, systems: Systems) -> set[str]:
    figures = {name: system["per_task"].get(task) for name, system in systems.items() if name != COE}
    scored = {name: found["accuracy"] for name, found in figures.items() if found and found["total"]}
    return {name for name, accuracy in scored.items() if accuracy == max(scored.values())}


# The classifier


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the confusion matrix; `share` of its row's total, in [0, 1]."""

    count: int
    share: float
    right: bool


def shaded(confusion: Mapping[str, Any]) -> dict[str, list[Cell]]:
    """The confusion matrix by true task."""
    labels = confusion["labels"]
    return {
        true: [Cell(count, count / max(1, sum(row)), true == named) for named, count in zip(labels, row, strict=True)]
        for true, row in zip(labels[:-1], confusion["matrix"], strict=True)
    }
