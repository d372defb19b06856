"""What a benchmark run found, for people: one HTML file that needs nothing else; a table for the terminal.

Both are read off `summary.json` alone, so a report can be made again, anywhere, from a run folder.
"""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from coe_ray.analysis.columns import aligned, shortened, width

COE = "coe"
"""The name of the composition among `summary["systems"]`; every other system counts as a single expert."""

COUNTS = ("correct", "wrong", "unparsed", "refused", "failed")

MAPPINGS = {
    "profile": "written down in the profile, before the run",
    "cross-fitted": "cross-fitted: no question was routed by a leaderboard that had seen its own answer",
}

TERMINAL_WIDTH = 100
MOST_TASKS = 8
NONE = "–"


def render_report(summary: Mapping[str, Any]) -> str:
    """The report as one HTML document: no script, nothing fetched, every name and text escaped."""
    # Autoescape by hand: jinja2's default goes by the file's ending, and ".j2" is not among those it knows.
    environment = Environment(
        loader=PackageLoader("coe_ray.bench", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=_percent, interval=_interval, count=_count, label=_label, duration=_duration, moment=_moment
    )
    systems = _ranked(summary["systems"])
    return environment.get_template("report.html.j2").render(
        summary=summary,
        verdict=_verdict(summary),
        systems=systems,
        counts=COUNTS,
        scale=_Scale.of(systems),
        tasks=_tasks(summary),
        best=_best_by_task(summary),
        confusion=_shaded(summary["classifier"]["confusion"]),
        mapping=MAPPINGS[summary["leaderboard"]["mapping"]],
        failures=[_failure(kind) for kind in summary["failures"]],
        coe=COE,
    )


def render_table(summary: Mapping[str, Any]) -> str:
    """The systems as plain text, at most 100 columns wide; accuracy in % ± half the width of its interval.

    Accuracy by task follows, best expert marked *, where there are at most eight tasks.
    """
    blocks = [_systems_block(summary["systems"])]
    if 0 < len(_tasks(summary)) <= MOST_TASKS:
        blocks.append(_tasks_block(summary))
    if caution := _verdict(summary).caution:
        blocks.append(textwrap.fill(caution, TERMINAL_WIDTH))
    blocks += [textwrap.fill(_failure(kind), TERMINAL_WIDTH) for kind in summary["failures"]]
    return "\n\n".join(blocks) + "\n"


# What the figures say


@dataclass(frozen=True, slots=True)
class _Verdict:
    """The run in three sentences. The `rival` completes the headline, where there is one to compare with;
    it is apart so that a page can keep its name in one piece. `caution` is empty when every answer came in.
    """

    headline: str
    detail: str
    caution: str
    rival: str = ""


def _verdict(summary: Mapping[str, Any]) -> _Verdict:
    """CoE against the best single expert, as far as both have figures."""
    coe, caution = summary["systems"][COE], _caution(summary)
    if coe["accuracy"] is None:
        return _Verdict("No answer of CoE could be scored", "There is nothing to compare yet.", caution)
    name = _best_expert(summary["systems"])
    if name is None:
        headline = f"CoE answers {_percent(coe['accuracy'])}% of the questions right"
        return _Verdict(headline, "The run has no figures of a single expert to compare with.", caution)
    best = summary["systems"][name]
    headline = f"CoE is {_difference(coe['accuracy'] - best['accuracy'])}"
    return _Verdict(headline, _comparison(coe, best), caution, rival=name)


def _difference(accuracy: float) -> str:
    points = f"{abs(100 * accuracy):.1f}"
    if points == "0.0":
        return "level with"
    return f"{points} points {'above' if accuracy > 0 else 'below'}"


def _comparison(coe: Mapping[str, Any], best: Mapping[str, Any]) -> str:
    (low, high), (best_low, best_high) = coe["ci95"], best["ci95"]
    overlap = (
        "The intervals overlap: these figures alone do not tell the two apart."
        if low <= best_high and best_low <= high
        else "The intervals do not overlap."
    )
    return (
        f"{_percent(coe['accuracy'])}% of answers are right (95% interval {_interval(coe['ci95'])}), against "
        f"{_percent(best['accuracy'])}% ({_interval(best['ci95'])}) for the best single expert. {overlap}"
    )


def _caution(summary: Mapping[str, Any]) -> str:
    """Why the figures are not final; empty when they are."""
    failed = sum(system["failed"] for system in summary["systems"].values())
    if failed:
        what = "1 answer failed and is" if failed == 1 else f"{failed:,} answers failed and are"
        return f"Incomplete: {what} left out, so systems may not be scored on the same questions."
    again = "The same command, run again, goes on from here."
    return f"Incomplete: not every question has been answered. {again}" if summary["incomplete"] else ""


def _failure(kind: Mapping[str, Any]) -> str:
    """Calls that failed the same way, in one sentence, and what to do."""
    calls = "1 call" if kind["calls"] == 1 else f"{kind['calls']:,} calls"
    return f"{calls} failed as {kind['error']}: {kind['message']}; {kind['remedy']}"


def _ranked(systems: Mapping[str, Any]) -> dict[str, Any]:
    """CoE first, then by accuracy, those without figures last."""

    def place(name: str) -> tuple[bool, float, str]:
        accuracy = systems[name]["accuracy"]
        return name != COE, math.inf if accuracy is None else -accuracy, name

    return {name: systems[name] for name in sorted(systems, key=place)}


def _best_expert(systems: Mapping[str, Any]) -> str | None:
    """The most accurate system beside CoE; the first by name among equals."""
    scored = (name for name, system in _ranked(systems).items() if system["accuracy"] is not None)
    return next((name for name in scored if name != COE), None)


def _tasks(summary: Mapping[str, Any]) -> list[str]:
    """Tasks that any system was asked about, in the classifier's order where it has one."""
    asked = {task for system in summary["systems"].values() for task in system["per_task"]}
    order = summary["classifier"]["confusion"]["labels"]
    return [task for task in order if task in asked] + sorted(asked.difference(order))


def _best_by_task(summary: Mapping[str, Any]) -> dict[str, set[str]]:
    """For each task its most accurate experts: all of them, where several are equal."""
    return {task: _best_at(task, summary["systems"]) for task in _tasks(summary)}


def _best_at(task: str, systems: Mapping[str, Any]) -> set[str]:
    figures = {name: system["per_task"].get(task) for name, system in systems.items() if name != COE}
    scored = {name: found["accuracy"] for name, found in figures.items() if found and found["total"]}
    return {name for name, accuracy in scored.items() if accuracy == max(scored.values())}


# HTML


@dataclass(frozen=True, slots=True)
class _Scale:
    """The accuracy axis that all interval drawings share, in whole tens of percent around what is drawn."""

    low: float
    high: float
    width: int = 160

    @classmethod
    def of(cls, systems: Mapping[str, Any]) -> "_Scale":
        ends = [end for system in systems.values() for end in system["ci95"] or ()]
        if not ends:
            return cls(0.0, 1.0)
        return cls(math.floor(10 * min(ends)) / 10, math.ceil(10 * max(ends)) / 10)

    def x(self, value: float) -> float:
        """Pixels from the left. The ends of an interval always differ, so the axis has a length."""
        return round(self.width * (value - self.low) / (self.high - self.low), 1)


@dataclass(frozen=True, slots=True)
class _Cell:
    """One cell of the confusion matrix; `share` of its row's total, in [0, 1]."""

    count: int
    share: float
    right: bool


def _shaded(confusion: Mapping[str, Any]) -> dict[str, list[_Cell]]:
    """The confusion matrix by true task."""
    labels = confusion["labels"]
    return {
        true: [_Cell(count, count / max(1, sum(row)), true == named) for named, count in zip(labels, row, strict=True)]
        for true, row in zip(labels[:-1], confusion["matrix"], strict=True)
    }


def _percent(fraction: float | None) -> str:
    return NONE if fraction is None else f"{100 * fraction:.1f}"


def _interval(ends: Sequence[float] | None) -> str:
    return NONE if ends is None else f"{_percent(ends[0])}–{_percent(ends[1])}"


def _count(number: int) -> str:
    return f"{number:,}"


def _label(name: str) -> str:
    return "CoE" if name == COE else name


def _duration(seconds: float) -> str:
    """Seconds as a person would say them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _moment(iso: str) -> str:
    return f"{datetime.fromisoformat(iso):%-d %B %Y, %H:%M %Z}".rstrip()


# Plain text


def _systems_block(systems: Mapping[str, Any]) -> str:
    rows = [["system", "accuracy %", *COUNTS]]
    for name, system in _ranked(systems).items():
        rows.append([shortened(name, 40), _with_margin(system), *(_count(system[count]) for count in COUNTS)])
    return aligned(rows)


def _tasks_block(summary: Mapping[str, Any]) -> str:
    """Accuracy by system and task, and under it what the short task names stand for."""
    tasks, best = _tasks(summary), _best_by_task(summary)
    short = _short_names(tasks)
    rows = [["by task, %", *(f"{short[task]} " for task in tasks)]]
    for name, system in _ranked(summary["systems"]).items():
        cells = (_task_cell(system["per_task"].get(task), name in best[task]) for task in tasks)
        rows.append([shortened(name, 19), *cells])
    legend = [f"{short[task]} = {task}" for task in tasks if short[task] != task]
    notes = (shortened(note, TERMINAL_WIDTH) for note in ["* best single expert", *legend])
    return "\n".join([aligned(rows), *notes])


def _task_cell(figures: Mapping[str, Any] | None, best: bool) -> str:
    # The mark takes a column whether it is there or not, so that the digits stay under each other.
    return _percent(figures["accuracy"] if figures else None) + ("*" if best else " ")


def _with_margin(system: Mapping[str, Any]) -> str:
    if system["ci95"] is None:
        return NONE
    low, high = system["ci95"]
    return f"{_percent(system['accuracy'])} ±{50 * (high - low):4.1f}"


def _short_names(tasks: Sequence[str]) -> dict[str, str]:
    """Names of at most seven columns: initials for several words, as tasks often share their first ones."""
    short = [task if width(task) <= 7 else _initials(task) for task in tasks]
    if len(set(short)) < len(short):
        short = [f"T{number}" for number, _ in enumerate(tasks, start=1)]
    return dict(zip(tasks, short, strict=True))


def _initials(task: str) -> str:
    words = task.split()
    return shortened("".join(word[0] for word in words) if len(words) > 1 else task, 7)
