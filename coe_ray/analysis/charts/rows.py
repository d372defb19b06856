"""Charts with a row for each thing: marks with intervals, and the losses from the question oracle down to CoE."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from coe_ray.analysis.charts import style
from coe_ray.analysis.tables import format_points


@style.chart_style()
def dot_chart(
    rows: Sequence[str],
    series: Mapping[str, style.Values],
    ranges: Sequence[tuple[float, float] | None] = (),
    *,
    label: str = "accuracy, %",
    band: tuple[float, float] | None = None,
    zero: bool = False,
) -> Figure:
    """Marks of one or more series on a line for each row, the first row on top.

    `ranges` are bars behind the marks of a row, `band` lies behind all rows, `zero` draws a line across them.
    Raises ValueError where a series has not a value for each row.
    """
    style.check_lengths(rows, series)
    figure, axes = style.row_axes(rows, 26)
    if band:
        axes.axvspan(*band, color=style.COLOURS[0], alpha=0.13, linewidth=0)
    if zero:
        axes.axvline(0, color=style.INK, linewidth=1.5, zorder=1.5)
    for place, ends in enumerate(ranges):
        if ends:
            axes.plot(ends, [place, place], color=style.SOFT, linewidth=2.5, solid_capstyle="round", zorder=2)
    lines = []
    for number, (values, look) in enumerate(zip(series.values(), style.series_styles(), strict=False)):
        marks = [math.nan if value is None else value for value in values]
        marker = {**look, "linestyle": "none", "markersize": 9, "markeredgecolor": style.PAPER, "clip_on": False}
        lines += axes.plot(marks, range(len(rows)), zorder=4 - number / len(series), **marker)
    axes.margins(x=0.05)
    axes.set_xlabel(label, color=style.SOFT)
    if len(series) > 1:
        style.add_legend(figure, lines, series)
    return figure


@dataclass(frozen=True, slots=True)
class LossStep:
    """A step from the question oracle down to CoE, as fractions: an accuracy, or a loss from `start` down to `end`."""

    key: str
    start: float
    end: float
    is_total: bool = False

    @property
    def name(self) -> str:
        return "CoE" if self.key == "coe" else self.key.replace("_", " ").capitalize()


def loss_steps(losses: Mapping[str, float]) -> list[LossStep]:
    """The steps of the figures that `coe_ray.analysis.losses.Losses` has."""
    steps = []
    for total, parts in (
        ("question_oracle", ("extraction", "mapping")),
        ("task_oracle", ("unknown", "classification")),
    ):
        level = losses[total]
        steps.append(LossStep(total, level, level, is_total=True))
        for part in parts:
            steps.append(LossStep(part, level, level - losses[part]))
            level -= losses[part]
    return [*steps, LossStep("coe", losses["coe"], losses["coe"], is_total=True)]


@style.chart_style()
def losses_chart(losses: Mapping[str, float], decimals: int = 2) -> Figure:
    """A waterfall from the question oracle's accuracy down to CoE's, in percent, each loss with its signed points."""
    steps = loss_steps(losses)
    figure, axes = style.row_axes([step.name for step in steps], 32)
    for place, step in enumerate(steps):
        start, end, change = 100 * step.start, 100 * step.end, 100 * (step.end - step.start)
        if step.is_total:
            axes.plot([end, end], [place - 0.36, place + 0.36], color=style.INK, linewidth=3, solid_capstyle="butt")
        else:
            axes.barh(place, change, left=start, height=0.5, color=style.COLOURS[2 if change > 0 else 1])
        if place:
            axes.plot(
                [start, start], [place - 1, place], color=style.SOFT, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1.5
            )
        text = f"{end:.{decimals}f}" if step.is_total else format_points(change, decimals)
        axes.annotate(text, (max(start, end), place), (6, 0), textcoords="offset points", va="center", fontsize=10)
    low, high = min(100 * step.end for step in steps), max(100 * step.start for step in steps)
    spare = max(high - low, 1)
    axes.set_xlim(low - 0.1 * spare, high + 0.25 * spare)
    axes.set_xlabel("accuracy, %; losses in percentage points", color=style.SOFT)
    return figure
