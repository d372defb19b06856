"""Figures of the report's sections, out of `summary.json`: systems, tasks, regret."""

import math
from collections.abc import Mapping
from typing import Any

from coe_ray.bench.report.formatting import count, system_name
from coe_ray.bench.scoring import COE

Systems = Mapping[str, Any]


def ranked(systems: Systems) -> dict[str, Any]:
    """CoE first, then by accuracy, those without figures last."""

    def rank(name: str) -> tuple[bool, float, str]:
        accuracy = systems[name]["accuracy"]
        return name != COE, math.inf if accuracy is None else -accuracy, name

    return {name: systems[name] for name in sorted(systems, key=rank)}


def cut_off_note(systems: Systems) -> str:
    """Which systems' answers were cut off at `max_tokens`; empty where none was, or an older release did not count."""
    cut = [f"{count(each['cut_off'])} of {system_name(name)}" for name, each in systems.items() if each.get("cut_off")]
    return f"Cut off at max_tokens (finish_reason length): {', '.join(cut)}." if cut else ""


def scored_experts(systems: Systems) -> list[str]:
    """All systems beside CoE that have figures, the most accurate first; by name among equals."""
    return [name for name, system in ranked(systems).items() if name != COE and system["accuracy"] is not None]


def tasks(summary: Mapping[str, Any]) -> list[str]:
    """Tasks that any system has figures for, in the classifier's order where it has one."""
    names = {task for system in summary["systems"].values() for task in system["per_task"]}
    order = summary["classifier"]["confusion"]["labels"]
    return [task for task in order if task in names] + sorted(names.difference(order))


def best_by_task(summary: Mapping[str, Any]) -> dict[str, set[str]]:
    """For each task its most accurate experts: all of them, where several are equal."""
    best = {}
    for task in tasks(summary):
        figures = {name: each["per_task"].get(task) for name, each in summary["systems"].items() if name != COE}
        scored = {name: row["accuracy"] for name, row in figures.items() if row and row["total"]}
        best[task] = {name for name, accuracy in scored.items() if accuracy == max(scored.values())}
    return best


def regret_by_task(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The tasks' regrets, the largest first."""
    return dict(sorted((summary.get("regret") or {}).items(), key=lambda row: (-row[1]["regret"], row[0])))
