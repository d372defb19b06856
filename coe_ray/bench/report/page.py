"""HTML page of the report: no script, nothing fetched, every name and text escaped. The templates lay it out."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from coe_ray.analysis.charts import loss_steps
from coe_ray.analysis.tables import one_line, shorten
from coe_ray.bench.report import charts, formatting, sections
from coe_ray.bench.report.verdict import make_verdict
from coe_ray.bench.scoring import COE
from coe_ray.core.types import LETTERS, OUTCOMES

CALLS = ("issued", "completed", "reused", "repeated", "abandoned", "retried", "failed")

MAPPINGS = {
    "profile": "written down in the profile, before the run",
    "cross-fitted": "cross-fitted: no question was routed by a leaderboard that had seen its own answer",
}


def render_page(summary: Mapping[str, Any]) -> str:
    """The report as one HTML document. A summary of an older release, without insights, has fewer sections."""
    ranked, priced = sections.ranked(summary["systems"]), charts.costs(summary)
    losses, regret = summary.get("losses"), sections.regret_by_task(summary)
    drawings = {
        "difference": charts.draw_difference(summary["verdict"]) if summary.get("verdict") else "",
        "systems": charts.draw_systems(ranked),
        "tasks": charts.draw_tasks(summary),
        "losses": charts.draw_losses(losses) if losses else "",
        "regret": charts.draw_regret(regret) if regret else "",
        "costs": charts.draw_costs(priced) if priced and priced.points else "",
    }
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            summary=summary,
            verdict=make_verdict(summary),
            charts={name: Markup(svg) for name, svg in drawings.items()},  # noqa: S704 - matplotlib escapes all text
            systems=ranked,
            cut_off=sections.cut_off_note(ranked),
            counts=OUTCOMES,
            bounds=summary.get("bounds"),
            tasks=sections.tasks(summary),
            numbered=charts.has_numbered_tasks(summary),
            best=sections.best_by_task(summary),
            confusion=summary["classifier"]["confusion"],
            losses=loss_steps(losses) if losses else [],
            regret=regret,
            costs=priced,
            calls=CALLS,
            misroutes=summary.get("misroutes") or [],
            letters=LETTERS,
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
    names = ("percent", "interval", "points", "count", "money", "system_name", "sentence", "duration", "timestamp")
    environment.filters |= {name: getattr(formatting, name) for name in names}
    environment.filters["heading"] = _shorten_heading
    return environment


def _shorten_heading(name: str) -> str:
    """The name of a column; it stands in full at the row of the same name."""
    return shorten(one_line(name), 32) or "?"
