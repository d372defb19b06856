"""The report as HTML: no script, nothing fetched, every name and text escaped. The templates draw and lay out."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from coe_ray.bench.report import costs, lost, misroutes, reading, words
from coe_ray.bench.report.labels import short
from coe_ray.bench.report.verdict import verdict
from coe_ray.bench.scoring import COE

MAPPINGS = {
    "profile": "written down in the profile, before the run",
    "cross-fitted": "cross-fitted: no question was routed by a leaderboard that had seen its own answer",
}


def render_report(summary: Mapping[str, Any]) -> str:
    """The report as one HTML document. A summary of an older release, without insights, has fewer sections."""
    systems = reading.ranked(summary["systems"])
    regret = lost.regret(summary)
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            summary=summary,
            verdict=verdict(summary),
            systems=systems,
            counts=reading.COUNTS,
            axis=reading.accuracies(systems),
            bounds=summary.get("bounds"),
            tasks=reading.tasks(summary),
            best=reading.best_by_task(summary),
            by_task=reading.by_task(summary),
            task_axis=reading.task_accuracies(systems),
            confusion=reading.shaded(summary["classifier"]["confusion"]),
            losses=lost.losses(summary),
            regret=regret,
            regret_axis=lost.regret_axis(regret) if regret else None,
            costs=costs.costs(summary),
            calls=reading.CALLS,
            misroutes=misroutes.misroutes(summary),
            folded=misroutes.FOLDED,
            mapping=MAPPINGS[summary["leaderboard"]["mapping"]],
            coe=COE,
        )
    )


def _environment() -> Environment:
    # Autoescape by hand: jinja2's default goes by the file's ending, and ".j2" is not among those it knows.
    environment = Environment(
        loader=PackageLoader("coe_ray.bench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for filter_ in (words.percent, words.interval, words.points, words.count, words.money, words.label):
        environment.filters[filter_.__name__] = filter_
    environment.filters.update(
        duration=words.duration,
        moment=words.moment,
        along=_along,
        wide=_wide,
        tick=_tick,
        step=_step,
        sentence=words.sentence,
        heading=_heading,
    )
    return environment


def _heading(name: str) -> str:
    """The name of a column; it stands in full at the row of the same name."""
    return short(name, 32)


EDGE = 4.0
"""Percent of a drawing's width on each side that its axis leaves to marks and numbers."""


def _along(share: float) -> str:
    """A place on the axis of a drawing without a view box, which is as wide as there is room."""
    return f"{EDGE + (100 - 2 * EDGE) * share:.2f}%"


def _wide(share: float) -> str:
    """A length in such a drawing."""
    return f"{(100 - 2 * EDGE) * share:.2f}%"


def _tick(value: float) -> str:
    """A number on an axis, short."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _step(fraction: float) -> str:
    """Signed points on an axis, short."""
    points = round(100 * fraction, 6)
    return f"{points:+g}".replace("-", "−") if points else "0"
