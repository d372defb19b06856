"""Names beside marks in a drawing, so that none covers another name or a mark. Pure; lengths are of the drawing."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from coe_ray.analysis.columns import one_line, shorten, width

LINE = 15.0
"""Height of a line of text."""

COLUMN = 7.3
"""Width of a column of text, on the safe side: of a letter in the widest of the usual fonts, at a size of 12."""

REACH = 6.0
"""From the middle of a mark to its edge."""

Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Box") -> bool:
        """Whether the two have an area in common."""
        across = min(self.right, other.right) - max(self.left, other.left)
        return across > 0 and min(self.bottom, other.bottom) - max(self.top, other.top) > 0

    def holds(self, other: "Box") -> bool:
        return (
            self.left <= other.left
            and self.top <= other.top
            and other.right <= self.right
            and other.bottom <= self.bottom
        )


_ANCHORS: tuple[tuple[Anchor, float], ...] = (("middle", 0.0), ("start", -2.0), ("end", 2.0))


@dataclass(frozen=True, slots=True)
class Label:
    """A line of text in its box: `x` is its anchor's, `y` its baseline's. `leader` is the end of a line to its mark."""

    text: str
    x: float
    y: float
    anchor: Anchor
    box: Box
    leader: tuple[float, float] | None = None


def mark_box(x: float, y: float, reach: float = REACH) -> Box:
    return Box(x - reach, y - reach, x + reach, y + reach)


def text_box(text: str, x: float, middle: float, anchor: Anchor) -> Box:
    """The box of a line of text around the height `middle`."""
    wide = COLUMN * width(text)
    left = x - {"start": 0.0, "middle": wide / 2, "end": wide}[anchor]
    return Box(left, middle - LINE / 2, left + wide, middle + LINE / 2)


def label(text: str, x: float, middle: float, anchor: Anchor, leader: tuple[float, float] | None = None) -> Label:
    """A label around the height `middle`."""
    return Label(text, round(x, 1), round(middle + 4.2, 1), anchor, text_box(text, x, middle, anchor), leader)


def short(name: str, columns: int) -> str:
    """A name of one line that fits into so many columns."""
    return shorten(one_line(name) or "?", columns)


def beside(text: str, x: float, y: float, far: float = 0.0) -> Iterator[Label]:
    """Where a mark's name can stand: at its sides, above, below, and with a leader farther up or down."""
    gap = REACH + 3
    yield label(text, x + gap, y, "start")
    yield label(text, x - gap, y, "end")
    for anchor, across in _ANCHORS:
        yield label(text, x + across, y - gap - LINE / 2 + 2, anchor)
        yield label(text, x + across, y + gap + LINE / 2 - 2, anchor)
    for step in range(3, int(2 * far / LINE) + 1):
        for away in (-step * LINE / 2, step * LINE / 2):
            end = round(y + away, 1)
            yield label(text, x + gap, y + away, "start", (round(x + gap - 2, 1), end))
            yield label(text, x - gap, y + away, "end", (round(x - gap + 2, 1), end))


def first_free(candidates: Iterable[Label], area: Box, taken: Sequence[Box]) -> Label | None:
    """The first that lies in the area and meets nothing that is taken."""
    free = (each for each in candidates if area.holds(each.box) and not any(each.box.meets(box) for box in taken))
    return next(free, None)


def placed(
    names: Sequence[str], marks: Sequence[tuple[float, float]], area: Box, lines: Sequence[Box] = ()
) -> list[Label | None]:
    """A label for each mark (x, y), in their order; None where there is no room left.

    `lines` are to be kept clear, and so are marks and labels from the leaders of others, where that can be.
    """
    taken = [mark_box(x, y) for x, y in marks]
    labels: list[Label | None] = []
    for name, mark in zip(names, marks, strict=True):
        others = [box for box in taken if box != mark_box(*mark)]
        everywhere = partial(beside, name, *mark, area.bottom - area.top)
        clear = (each for each in everywhere() if not _crosses(mark, each.leader, others))
        found = first_free(clear, area, [*taken, *lines]) or first_free(everywhere(), area, taken)
        labels.append(found)
        taken += [found.box] if found else []
    return labels


def _crosses(start: tuple[float, float], end: tuple[float, float] | None, boxes: Sequence[Box]) -> bool:
    """Whether a leader runs through a box: looked at in twelve places along it."""
    if end is None:
        return False
    steps = [step / 12 for step in range(1, 13)]
    places = [(start[0] + step * (end[0] - start[0]), start[1] + step * (end[1] - start[1])) for step in steps]
    return any(mark_box(x, y, 0.5).meets(box) for x, y in places for box in boxes)
