"""Radar chart: accuracy by task as a polygon for each system."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from coe_ray.analysis.charts import style
from coe_ray.analysis.tables import one_line, shorten, wrap

RADIUS = 130.0
"""Points from the centre to the outermost ring."""


@style.chart_style()
def radar_chart(tasks: Sequence[str], series: Mapping[str, style.Values]) -> Figure:
    """Accuracy by task in percent: a polygon for each system, open around a `None`. Tasks go clockwise from the top.

    The centre is a round number below the lowest value, as its ring says. Raises ValueError for fewer than three tasks,
    or a system without a value for each task.
    """
    style.check_lengths(tasks, series)
    if len(tasks) < 3:
        raise ValueError(f"{len(tasks)} rows, but a radar chart needs three")
    rings = radar_rings([value for values in series.values() for value in values if value is not None])
    figure, axes = style.add_axes(2 * RADIUS, 2 * RADIUS)
    axes.set(xlim=(-1, 1), ylim=(-1, 1))
    axes.set_axis_off()
    for place in range(len(tasks)):
        end = _polar(place, len(tasks), 1)
        axes.plot([0, end[0]], [0, end[1]], color=style.GRID, linewidth=0.8, zorder=1, clip_on=False)
    for ring in rings:
        _add_ring(axes, ring, (ring - rings[0]) / (rings[-1] - rings[0]), len(tasks))
    for label in spoke_labels(tasks):
        axes.annotate(label.text, label.spoke, label.offset, textcoords="offset points", ha=label.ha, va="center")
    lines = []
    for number, (values, look) in enumerate(zip(series.values(), style.series_styles(), strict=False)):
        marks = [_mark(value, place, rings, len(tasks)) for place, value in enumerate(values)]
        x, y = zip(*marks, marks[0], strict=True)
        order = 4 - number / len(series)
        lines += axes.plot(x, y, linewidth=2, markersize=6, clip_on=False, zorder=order, **look)
    style.add_legend(figure, lines, series)
    return figure


def radar_rings(values: Sequence[float]) -> list[int]:
    """From three to six round percentages around the values. The lowest value is off the centre if it can be, for in
    the centre all tasks are one point.
    """
    low = min(80, max(0, 10 * math.floor((min(values, default=0) - 5) / 10)))
    high = max(low + 20, 10 * math.ceil(max(values, default=100) / 10))
    step = 10 if high - low <= 50 else 20
    return list(range(step * math.floor(low / step), step * math.ceil(high / step) + 1, step))


@dataclass(frozen=True, slots=True)
class SpokeLabel:
    """A line of a task's name: the end of its spoke, where the radius is 1, and from there the offset in points."""

    text: str
    spoke: tuple[float, float]
    offset: tuple[float, float]
    ha: str

    @property
    def box(self) -> Bbox:
        """In points around the chart's centre."""
        x, y = (RADIUS * at + away for at, away in zip(self.spoke, self.offset, strict=True))
        return style.text_box(self.text, x, y, self.ha)


def spoke_labels(tasks: Sequence[str]) -> list[SpokeLabel]:
    """The names of the tasks around a radar chart, in lines; their numbers from 1 where a name would cover another."""
    names = [wrap(shorten(one_line(task) or "?", 42), 14)[:3] for task in tasks]
    blocks = [_label_lines(lines, place, len(tasks)) for place, lines in enumerate(names)]
    boxes = [Bbox.union([label.box for label in block]) for block in blocks]
    if any(box.count_overlaps(boxes[place + 1 :]) for place, box in enumerate(boxes)):
        blocks = [_label_lines([str(place + 1)], place, len(tasks)) for place in range(len(tasks))]
    return [label for block in blocks for label in block]


def numbers_tasks(tasks: Sequence[str]) -> bool:
    """Whether a radar chart of these tasks has numbers for names."""
    return len(tasks) > 3 and [label.text for label in spoke_labels(tasks)] == [str(n + 1) for n in range(len(tasks))]


def _label_lines(lines: Sequence[str], place: int, tasks: int) -> list[SpokeLabel]:
    """The lines of one name, growing away from the chart."""
    x, y = _polar(place, tasks, 1)
    ha = "center" if abs(x) < 0.1 else "left" if x > 0 else "right"
    above = 0.0 if y < -0.9 else 1.0 if y > 0.9 else 0.5  # the share of the lines that lies above the spoke's end
    top = 12 * y + style.LINE_HEIGHT * above * (len(lines) - 1)
    return [SpokeLabel(line, (x, y), (12 * x, top - style.LINE_HEIGHT * row), ha) for row, line in enumerate(lines)]


def _polar(place: float, tasks: int, radius: float) -> tuple[float, float]:
    angle = 2 * math.pi * place / tasks
    return radius * math.sin(angle), radius * math.cos(angle)


def _mark(value: float | None, place: int, rings: Sequence[int], tasks: int) -> tuple[float, float]:
    radius = math.nan if value is None else (value - rings[0]) / (rings[-1] - rings[0])
    return _polar(place, tasks, radius)


def _add_ring(axes: Axes, percent: int, radius: float, tasks: int) -> None:
    """A ring and its number, which stands in the middle of a side: there are no marks of systems."""
    x, y = zip(*(_polar(place, tasks, radius) for place in range(tasks + 1)), strict=True)
    axes.plot(x, y, color=style.GRID, linewidth=0.8, zorder=1, clip_on=False)
    box = {"facecolor": style.PAPER, "edgecolor": "none", "pad": 1}
    place = _polar(-0.5, tasks, radius * math.cos(math.pi / tasks))
    axes.text(*place, f"{percent}%", fontsize=9, color=style.SOFT, ha="center", va="center", zorder=1.5, bbox=box)
