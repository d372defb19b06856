"""Accuracy by task as polygons around a middle, for a few systems. Pure geometry; accuracies are fractions."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from coe_ray.analysis.columns import wrap
from coe_ray.bench.report import words
from coe_ray.bench.report.labels import LINE, Anchor, Box, Label, beside, first_free, label, mark_box, short

FEWEST, MOST = 3, 36
"""Tasks that a radar can show."""

RADIUS = 122.0
FOLD = 14
"""Columns of a task's name at its spoke."""

NAME = 18
"""Columns of a system's name in the drawing."""

Values = Sequence[float | None]
"""One a task; `None` where a system has no figure."""


@dataclass(frozen=True, slots=True)
class Spoke:
    """From the middle to (`x`, `y`), and there the task's name, or its number where names would be too close."""

    x: float
    y: float
    lines: tuple[Label, ...]


@dataclass(frozen=True, slots=True)
class Ring:
    """A polygon through equal values, with the number of percent that it stands for."""

    points: str
    label: Label


@dataclass(frozen=True, slots=True)
class Line:
    """One system: a closed path, open around tasks without a figure, and a mark at each figure."""

    name: str
    path: str
    marks: tuple[tuple[float, float], ...]
    label: Label | None


@dataclass(frozen=True, slots=True)
class Radar:
    """The drawing. `middle` is the percentage that its middle stands for."""

    rings: tuple[Ring, ...]
    spokes: tuple[Spoke, ...]
    lines: tuple[Line, ...]
    middle: int
    numbered: bool
    frame: Box


def radar(tasks: Sequence[str], series: Mapping[str, Values]) -> Radar:
    """Raises ValueError for fewer tasks than three, and where a system has not one value for each."""
    if len(tasks) < FEWEST or any(len(values) != len(tasks) for values in series.values()):
        raise ValueError(f"{len(tasks)} tasks, but {[len(values) for values in series.values()]} values")
    percents = rings_around([100 * value for values in series.values() for value in values if value is not None])
    spokes, numbered = _spokes(tasks)
    rings = tuple(_ring(percent, percents, len(tasks)) for percent in percents)
    boxes = [line.box for spoke in spokes for line in spoke.lines]
    return Radar(
        rings,
        spokes,
        tuple(_lines(series, percents, [*boxes, *(ring.label.box for ring in rings)])),
        percents[0],
        numbered,
        _frame(boxes),
    )


def rings_around(percents: Sequence[float]) -> list[int]:
    """From three to six round numbers of percent. The lowest value is off the middle, where all tasks are one point."""
    low = min(80, max(0, 10 * math.floor((min(percents, default=0) - 5) / 10)))
    high = max(low + 20, 10 * math.ceil(max(percents, default=100) / 10))
    step = 10 if high - low <= 50 else 20
    return list(range(step * math.floor(low / step), step * math.ceil(high / step) + 1, step))


def _at(place: float, tasks: int, radius: float) -> tuple[float, float]:
    """Clockwise from the top, around (0, 0)."""
    angle = 2 * math.pi * place / tasks
    return round(radius * math.sin(angle), 1), round(-radius * math.cos(angle), 1)


def _ring(percent: int, percents: Sequence[int], tasks: int) -> Ring:
    radius = RADIUS * (percent - percents[0]) / (percents[-1] - percents[0])
    corners = " ".join("{},{}".format(*_at(place, tasks, radius)) for place in range(tasks))
    # In the middle of a side, as there are no figures of systems.
    x, y = _at(-0.5, tasks, radius * math.cos(math.pi / tasks))
    return Ring(corners, label(str(percent), x, y, "middle"))


def _spokes(tasks: Sequence[str]) -> tuple[tuple[Spoke, ...], bool]:
    """With names where none covers another, else with numbers."""
    named = _with_names([wrap(short(task, 3 * FOLD), FOLD)[:3] for task in tasks])
    blocks = [[line.box for line in spoke.lines] for spoke in named]
    clear = all(
        not one.meets(other)
        for place, block in enumerate(blocks)
        for later in blocks[place + 1 :]
        for one in block
        for other in later
    )
    return (named, False) if clear else (_with_names([[str(number)] for number in range(1, len(tasks) + 1)]), True)


def _with_names(names: Sequence[Sequence[str]]) -> tuple[Spoke, ...]:
    return tuple(
        Spoke(*_at(place, len(names), RADIUS), tuple(_spoke_lines(lines, *_at(place, len(names), RADIUS + 12))))
        for place, lines in enumerate(names)
    )


def _spoke_lines(lines: Sequence[str], x: float, y: float) -> Iterator[Label]:
    """A name that grows away from the middle."""
    anchor: Anchor = "middle" if abs(x) < 0.1 * RADIUS else "start" if x > 0 else "end"
    steepness = y / (RADIUS + 12)
    up = 1.0 if steepness < -0.9 else 0.0 if steepness > 0.9 else 0.5
    top = y - up * LINE * (len(lines) - 1)
    for number, line in enumerate(lines):
        yield label(line, x, top + number * LINE, anchor)


def _lines(series: Mapping[str, Values], percents: Sequence[int], taken: list[Box]) -> Iterator[Line]:
    """Each system; the names of the first ones are placed first."""
    marks = {name: _marks(values, percents) for name, values in series.items()}
    taken = taken + [mark_box(*mark, 4.0) for row in marks.values() for mark in row if mark]
    lines = [mark_box(*place, 1.0) for row in marks.values() for place in _along(row)]
    area = Box(-RADIUS - 40, -RADIUS - 4, RADIUS + 40, RADIUS + 4)
    for name, row in marks.items():
        others = [other for each, other in marks.items() if each != name]
        places = _loneliest(row, others)
        candidates = [each for x, y in places for each in beside(short(words.label(name), NAME), x, y)]
        found = first_free(candidates, area, [*taken, *lines]) or first_free(candidates, area, taken)
        taken += [found.box] if found else []
        yield Line(name, _path(row), tuple(mark for mark in row if mark), found)


_Marks = Sequence[tuple[float, float] | None]


def _marks(values: Values, percents: Sequence[int]) -> _Marks:
    scale = RADIUS / (percents[-1] - percents[0])
    return [
        None if value is None else _at(place, len(values), scale * (100 * value - percents[0]))
        for place, value in enumerate(values)
    ]


def _loneliest(row: _Marks, others: Sequence[_Marks]) -> list[tuple[float, float]]:
    """A system's marks, those first that are farthest from the other systems' on the same spoke."""

    def alone(place: int, mark: tuple[float, float]) -> float:
        near = (other[place] for other in others)
        return min((math.dist(mark, each) for each in near if each), default=math.inf)

    known = [(alone(place, mark), mark) for place, mark in enumerate(row) if mark]
    return [mark for _, mark in sorted(known, key=lambda each: -each[0])]


def _along(row: _Marks) -> Iterator[tuple[float, float]]:
    """Places on a system's lines, close to each other."""
    for place, mark in enumerate(row):
        before = row[place - 1]
        if mark and before:
            for step in range(16):
                part = step / 16
                yield before[0] + part * (mark[0] - before[0]), before[1] + part * (mark[1] - before[1])


def _path(row: _Marks) -> str:
    """Around through all marks, without the sides at a gap."""
    if all(row):
        return "M" + "L".join(f"{mark[0]} {mark[1]}" for mark in row if mark) + "Z"
    sides = [(row[place - 1], mark) for place, mark in enumerate(row)]
    return "".join(f"M{a[0]} {a[1]}L{b[0]} {b[1]}" for a, b in sides if a and b)


def _frame(boxes: Sequence[Box]) -> Box:
    """Around everything, the middle of the drawing in its middle."""
    far = max(RADIUS + 8, *(max(-box.left, box.right) for box in boxes)) + 2
    top = min(-RADIUS - 8, *(box.top for box in boxes)) - 2
    bottom = max(RADIUS + 8, *(box.bottom for box in boxes)) + 2
    return Box(-round(far, 1), round(top, 1), round(far, 1), round(bottom, 1))
