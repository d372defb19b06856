"""Cost against accuracy, with the Pareto front."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import Bbox

from coe_ray.analysis.charts import style
from coe_ray.analysis.tables import one_line, shorten

_LEADER: dict[str, Any] = {"arrowstyle": "-", "color": style.SOFT, "linewidth": 0.75, "shrinkA": 0, "shrinkB": 6}
"""Line from a mark to a name that stands away from it."""


@dataclass(frozen=True, slots=True)
class CostPoint:
    """A system: what it costs, in any unit, and its accuracy in percent."""

    name: str
    cost: float
    accuracy: float


def pareto_front(points: Sequence[CostPoint]) -> set[str]:
    """The names of the systems that no other one beats by being as cheap and as good, and cheaper or better."""

    def beats(one: CostPoint, other: CostPoint) -> bool:
        no_worse = one.cost <= other.cost and one.accuracy >= other.accuracy
        return no_worse and (one.cost < other.cost or one.accuracy > other.accuracy)

    return {one.name for one in points if not any(beats(other, one) for other in points)}


@style.chart_style()
def cost_chart(points: Sequence[CostPoint], unit: str, highlighted: str = "") -> Figure:
    """Cost to the right, accuracy upwards, the Pareto front as stairs; the systems on it are filled, names beside.

    The cost axis is logarithmic where the largest is over ten times the least. Raises ValueError without points.
    """
    if not points:
        raise ValueError("no points: a cost chart needs one")
    costs, front = [point.cost for point in points], pareto_front(points)
    logarithmic = min(costs) > 0 and max(costs) > 10 * min(costs)
    figure, axes = style.add_axes(style.CHART_WIDTH - 40, 270)
    axes.set_xscale("log" if logarithmic else "linear")
    axes.margins(0.08)
    for point in reversed(points):
        mark, colour = ("D", style.COLOURS[0]) if point.name == highlighted else ("o", style.INK)
        face = colour if point.name in front else style.PAPER
        edge: dict[str, Any] = {"color": colour, "markerfacecolor": face, "markeredgewidth": 1.8, "markersize": 8}
        axes.plot([point.cost], [point.accuracy], mark, zorder=3, clip_on=False, label=point.name, **edge)
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())  # no line or name that follows changes them
    stairs = _stairs([(point.cost, point.accuracy) for point in points if point.name in front], axes.get_xlim()[1])
    axes.plot(*zip(*stairs, strict=True), color=style.COLOURS[0], linewidth=1.5, zorder=2)
    _format_axes(axes, logarithmic, f"{unit}{', logarithmic' if logarithmic else ''} →")
    _place_names(axes, points, stairs)
    return figure


def _stairs(marks: Sequence[tuple[float, float]], edge: float) -> list[tuple[float, float]]:
    """Corners: to the right at the accuracy that is reached, up where the next better system begins, to the edge."""
    first, *others = sorted(marks, key=lambda mark: (mark[0], -mark[1]))
    corners = [first]
    for x, y in others:
        corners += [(x, corners[-1][1]), (x, y)]
    return [*corners, (edge, corners[-1][1])]


def _format_axes(axes: Axes, logarithmic: bool, label: str) -> None:
    low, high = axes.get_xlim()
    if logarithmic:
        decades = math.log10(high / low)
        digits = (1.0, 2.0, 5.0) if decades < 2 else (1.0, 3.0) if decades < 3 else (1.0,)
        axes.xaxis.set_major_locator(LogLocator(subs=digits, numticks=7))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: format_tick(value)))
    axes.grid(visible=True, axis="y")
    axes.tick_params(labelcolor=style.SOFT)
    axes.set_xlabel(label, loc="right", color=style.SOFT)
    axes.set_title("↑ accuracy, %", loc="left", fontsize=style.FONT_SIZE, color=style.SOFT, pad=18)


def format_tick(value: float) -> str:
    """A number on an axis, short."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _place_names(axes: Axes, points: Sequence[CostPoint], stairs: Sequence[tuple[float, float]]) -> None:
    """A name beside each mark that covers no other name and no mark, nor the stairs if there is room elsewhere."""
    marks = [axes.transData.transform((point.cost, point.accuracy)) for point in points]
    taken = [Bbox.from_extents(x - 6, y - 6, x + 6, y + 6) for x, y in marks]
    lines = [Bbox([a, b]).padded(1) for a, b in pairwise(map(axes.transData.transform, stairs))]
    area = axes.bbox  # tick labels stand left of it and below
    frame = Bbox.from_extents(area.x0, area.y0, area.x1 + 18, area.y1 + 12)
    for point, (x, y) in zip(points, marks, strict=True):
        name = shorten(one_line(point.name), 22) or "?"
        places = [
            (place, style.text_box(name, x + place[0], y + place[1], place[2])) for place in _places(frame.height)
        ]
        free = [(place, box) for place, box in places if _contains(frame, box) and not box.count_overlaps(taken)]
        clear = [each for each in free if not each[1].count_overlaps(lines)]
        for (across, up, ha), box in (clear or free)[:1]:
            leader = {**_LEADER, "relpos": (0.0 if ha == "left" else 1.0, 0.5)} if abs(up) > style.LINE_HEIGHT else None
            where: dict[str, Any] = {"textcoords": "offset points", "ha": ha, "va": "center", "zorder": 5}
            axes.annotate(name, (point.cost, point.accuracy), (across, up), arrowprops=leader, **where)
            taken.append(box)


def _places(height: float) -> Iterator[tuple[float, float, str]]:
    """Where a mark's name can stand, the best place first: offsets in points, and the alignment."""
    yield from ((9, 0, "left"), (-9, 0, "right"))
    for up in (style.LINE_HEIGHT, -style.LINE_HEIGHT):
        yield from ((0, up, "center"), (-2, up, "left"), (2, up, "right"))
    for step in range(3, int(2 * height / style.LINE_HEIGHT)):
        for up in (step * style.LINE_HEIGHT / 2, -step * style.LINE_HEIGHT / 2):
            yield from ((9, up, "left"), (-9, up, "right"))


def _contains(frame: Bbox, box: Bbox) -> bool:
    return bool(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1)
