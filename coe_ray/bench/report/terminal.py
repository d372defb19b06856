"""Table of a run for the terminal: the systems, and accuracy by task."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from coe_ray.analysis.tables import NONE, TERMINAL_WIDTH, align_columns, shorten, width
from coe_ray.bench.report.formatting import count, percent
from coe_ray.bench.report.sections import best_by_task, cut_off_note, ranked, tasks
from coe_ray.bench.report.verdict import completeness_warning
from coe_ray.core.types import OUTCOMES

MOST_TASKS = 8


def render_table(summary: Mapping[str, Any]) -> str:
    """The systems as plain text, at most 100 columns wide; accuracy in % ± half the width of its interval.

    Accuracy by task follows, best expert marked *, where there are at most eight tasks.
    """
    blocks = [_systems_block(summary["systems"])]
    if 0 < len(tasks(summary)) <= MOST_TASKS:
        blocks.append(_tasks_block(summary))
    notes = cut_off_note(ranked(summary["systems"])), completeness_warning(summary)
    blocks += [textwrap.fill(note, TERMINAL_WIDTH) for note in notes if note]
    blocks += [textwrap.fill(_failure(kind), TERMINAL_WIDTH) for kind in summary["failures"]]
    return "\n\n".join(blocks) + "\n"


def _failure(kind: Mapping[str, Any]) -> str:
    """Calls that failed the same way, in one sentence, and what to do."""
    calls = "1 call" if kind["calls"] == 1 else f"{kind['calls']:,} calls"
    return f"{calls} failed as {kind['error']}: {kind['message']}; {kind['remedy']}"


def _systems_block(systems: Mapping[str, Any]) -> str:
    rows = [["system", "accuracy %", *OUTCOMES]]
    for name, system in ranked(systems).items():
        rows.append([shorten(name, 40), _with_margin(system), *(count(system[outcome]) for outcome in OUTCOMES)])
    return align_columns(rows)


def _tasks_block(summary: Mapping[str, Any]) -> str:
    """Accuracy by system and task, and under it what the short task names stand for."""
    names, best = tasks(summary), best_by_task(summary)
    short = _short_names(names)
    rows = [["by task, %", *(f"{short[task]} " for task in names)]]
    for name, system in ranked(summary["systems"]).items():
        cells = (_task_cell(system["per_task"].get(task), name in best[task]) for task in names)
        rows.append([shorten(name, 19), *cells])
    legend = [f"{short[task]} = {task}" for task in names if short[task] != task]
    notes = (shorten(note, TERMINAL_WIDTH) for note in ["* best single expert", *legend])
    return "\n".join([align_columns(rows), *notes])


def _task_cell(figures: Mapping[str, Any] | None, best: bool) -> str:
    # The mark takes a column whether it is there or not, so that the digits stay under each other.
    return percent(figures["accuracy"] if figures else None) + ("*" if best else " ")


def _with_margin(system: Mapping[str, Any]) -> str:
    if system["ci95"] is None:
        return NONE
    low, high = system["ci95"]
    return f"{percent(system['accuracy'])} ±{50 * (high - low):4.1f}"


def _short_names(names: Sequence[str]) -> dict[str, str]:
    """Names of at most seven columns: initials for several words, as tasks often share their first ones."""
    short = [name if width(name) <= 7 else _initials(name) for name in names]
    if len(set(short)) < len(short):
        short = [f"T{number}" for number, _ in enumerate(names, start=1)]
    return dict(zip(names, short, strict=True))


def _initials(task: str) -> str:
    words = task.split()
    return shorten("".join(word[0] for word in words) if len(words) > 1 else task, 7)
