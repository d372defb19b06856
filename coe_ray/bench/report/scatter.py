"""What a system costs against how often it is right, and which ones nobody beats at both. Pure geometry."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from coe_ray.bench.report.axes import Axis, linear, spread
from coe_ray.bench.report.labels import Box, Label, placed, short
from coe_ray.bench.report.words import label

WIDTH, HEIGHT = 420.0, 330.0
PLOT = Box(34.0, 30.0, 396.0, 284.0)
NAME = 22
"""Columns of a name in the drawing."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A system: what it costs, in any unit, and its accuracy."""

    name: str
    cost: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis and the number there."""

    at: float
    value: float


@dataclass(frozen=True, slots=True)
class Dot:
    """A system in the drawing."""

    name: str
    x: float
    y: float
    on_front: bool
    label: Label | None


@dataclass(frozen=True, slots=True)
class Scatter:
    """The drawing: `front` is the path along the offers that nobody beats, a step where the next one begins."""

    dots: tuple[Dot, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    front: str
    logarithmic: bool
    width: float = WIDTH
    height: float = HEIGHT
    plot: Box = PLOT


def pareto(offers: Sequence[Offer]) -> set[str]:
    """The names of the offers that no other one beats: as cheap and as good, and cheaper or better."""
    return {one.name for one in offers if not any(_beats(other, one) for other in offers)}


def scatter(offers: Sequence[Offer]) -> Scatter:
    """Cost to the right, accuracy upwards. The first offers' names are placed first. Raises ValueError without any."""
    if not offers:
        raise ValueError("there are no offers")
    cost, accuracy = spread(each.cost for each in offers), linear((each.accuracy for each in offers), 5)
    front = pareto(offers)
    marks = [(_x(cost, each.cost), _y(accuracy, each.accuracy)) for each in offers]
    stairs = _stairs([mark for mark, each in zip(marks, offers, strict=True) if each.name in front])
    names = [short(label(each.name), NAME) for each in offers]
    labels = placed(names, marks, Box(PLOT.left, PLOT.top - 12, WIDTH, PLOT.bottom), _thin(stairs))
    dots = [
        Dot(each.name, *mark, each.name in front, beside)
        for each, mark, beside in zip(offers, marks, labels, strict=True)
    ]
    return Scatter(
        tuple(dots),
        tuple(Tick(_x(cost, value), value) for value in cost.ticks),
        tuple(Tick(_y(accuracy, value), value) for value in accuracy.ticks),
        "M" + "L".join(f"{x} {y}" for x, y in stairs),
        cost.logarithmic,
    )


def _beats(one: Offer, other: Offer) -> bool:
    no_worse = one.cost <= other.cost and one.accuracy >= other.accuracy
    return no_worse and (one.cost < other.cost or one.accuracy > other.accuracy)


def _x(axis: Axis, value: float) -> float:
    return round(PLOT.left + axis.share(value) * (PLOT.right - PLOT.left), 1)


def _y(axis: Axis, value: float) -> float:
    return round(PLOT.bottom - axis.share(value) * (PLOT.bottom - PLOT.top), 1)


def _stairs(marks: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Corners: to the right at what is reached, up where the next better one begins; on to the right at the end."""
    first, *others = sorted(marks, key=lambda mark: (mark[0], -mark[1]))
    corners = [first]
    for x, y in others:
        corners += [(x, corners[-1][1]), (x, y)]
    return [*corners, (PLOT.right, corners[-1][1])]


def _thin(corners: Sequence[tuple[float, float]]) -> list[Box]:
    """The lines between corners, as names are to keep clear of them."""
    ends = pairwise(corners)
    return [Box(min(a, c), min(b, d) - 0.5, max(a, c) + 0.5, max(b, d) + 0.5) for (a, b), (c, d) in ends]
