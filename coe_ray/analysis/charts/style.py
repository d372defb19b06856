"""Look of all charts: colours, fonts, axes, legend, and how much room a text takes.

Series differ by colour (Okabe and Ito's palette, made for colour-blind readers), dash and marker, so a grey print will
do. Text stays text in an SVG: it can be searched, and a viewer has fonts for Chinese where this machine has none.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from typing import Any, TypeAlias

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from coe_ray.analysis.tables import one_line, shorten, width, wrap

INK, SOFT, GRID, PAPER = "#1d2126", "#5c636c", "#d5d7d3", "#ffffff"
# Black and a grey stand in the place of the palette's yellow, which is too pale for lines on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9", "#7f7f7f")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (9, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p")

FONT_SIZE, LINE_HEIGHT = 11.0, 14.0
COLUMN_WIDTH = 0.62
"""Of a font's size: what a terminal column of text takes at most in the usual fonts. A Chinese character takes two."""

CHART_WIDTH = 380.0
"""Points, labels included: text is still legible on a phone, where a chart is 350 pixels wide."""

CHINESE_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "WenQuanYi Micro Hei"),
    *("WenQuanYi Zen Hei", "PingFang SC", "Hiragino Sans GB", "Heiti SC", "Microsoft YaHei", "SimHei"),
    *("Noto Sans CJK JP", "Droid Sans Fallback", "Arial Unicode MS"),
)

Values: TypeAlias = Sequence[float | None]
"""One value a task or row; `None` where there is none."""


@contextmanager
def chart_style() -> Iterator[None]:
    """Settings of one chart. `$` in a name is no formula, and identifiers in an SVG do not change from run to run."""
    installed = {font.name for font in fontManager.ttflist}
    settings: Any = {  # typed as the names of all settings, one by one
        # The first that has a character draws it; the last is for whoever opens an SVG without either.
        "font.family": ["DejaVu Sans", *islice((name for name in CHINESE_FONTS if name in installed), 1), "sans-serif"],
        "font.size": FONT_SIZE,
        "text.parse_math": False,
        **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), INK),
        **{f"axes.spines.{side}": False for side in ("left", "right", "top", "bottom")},
        **{f"{axis}tick.{kind}.size": 0 for axis in "xy" for kind in ("major", "minor")},
        "axes.axisbelow": True,
        "axes.facecolor": "none",
        "grid.color": GRID,
        "legend.frameon": False,
        "legend.handlelength": 3.5,
        "svg.fonttype": "none",
        "svg.hashsalt": "coe_ray",
    }
    with rc_context(settings), warnings.catch_warnings():
        # No font for Chinese here: boxes in the PNG, text in the SVG, and no reason to stop a study at its end.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        yield


def series_styles() -> Iterator[dict[str, Any]]:
    """Styles of lines, without end: lengths without a common factor, so that 440 systems all look different."""
    for colour, dash, marker in zip(cycle(COLOURS), cycle(DASHES), cycle(MARKERS), strict=False):
        yield {"color": colour, "linestyle": dash, "marker": marker}


def check_lengths(rows: Sequence[str], series: Mapping[str, Values]) -> None:
    """Raise ValueError where a series has not a value for each row, or there is no row."""
    if not rows or any(len(values) != len(rows) for values in series.values()):
        raise ValueError(f"{len(rows)} rows, but {[len(values) for values in series.values()]} values")


def add_axes(wide: float, high: float) -> tuple[Figure, Axes]:
    """Axes of a size in points in a figure of their own. Labels lie outside of the figure's size: see `bounds`."""
    figure = Figure(dpi=72)  # a pixel is a point
    figure.set_size_inches(wide / 72, high / 72)
    return figure, figure.add_axes((0, 0, 1, 1))


def row_axes(names: Sequence[str], height: float) -> tuple[Figure, Axes]:
    """Axes with a named row for each of the names, the first on top; `height` is a row's, in points."""
    labels = [shorten(one_line(name), 24) for name in names]
    room = 0.62 * FONT_SIZE * max(map(width, labels), default=0)
    figure, axes = add_axes(CHART_WIDTH - room - 12, height * max(1, len(names)))
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(visible=True, axis="x")
    axes.tick_params(axis="x", labelcolor=SOFT)
    return figure, axes


def add_legend(figure: Figure, lines: Sequence[Line2D], names: Iterable[str]) -> None:
    """Names of the series below everything that is drawn so far, in two columns where there are many."""
    if not lines:
        return
    labels = [shorten(one_line(name), 40) or "?" for name in names]
    box = Bbox(figure.transFigure.inverted().transform(bounds(figure)))
    anchor = ((box.x0 + box.x1) / 2, box.y0)
    figure.legend(lines, labels, loc="upper center", bbox_to_anchor=anchor, ncols=1 if len(labels) < 7 else 2)


def bounds(figure: Figure) -> Bbox:
    """Around everything that is drawn, in points."""
    drawn = Bbox(figure.get_tightbbox().get_points() * 72)
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text() and text.get_visible()]
    boxes = [(text, text.get_window_extent()) for text in texts if not text.get_rotation()]
    return Bbox.union([drawn, *(_widen(text, box) for text, box in boxes if drawn.overlaps(box))])  # others are off


def _widen(text: Text, box: Bbox) -> Bbox:
    """The box of a text in a wide font."""
    size = float(text.get_fontsize())
    x = {"left": box.x0, "right": box.x1}.get(text.get_horizontalalignment(), (box.x0 + box.x1) / 2)
    wide = text_box(text.get_text(), x, 0, text.get_horizontalalignment(), size)
    return Bbox.from_extents(min(box.x0, wide.x0), box.y0, max(box.x1, wide.x1), box.y1)


def text_box(text: str, x: float, y: float, ha: str, size: float = FONT_SIZE) -> Bbox:
    """The room that text takes around the height `y`, in points, whatever the viewer's font is."""
    lines = text.split("\n")
    wide, high = COLUMN_WIDTH * size * max(map(width, lines)), LINE_HEIGHT * len(lines)
    left = x - {"left": 0.0, "right": wide}.get(ha, wide / 2)
    return Bbox.from_extents(left, y - high / 2, left + wide, y + high / 2)


def fold(name: str, columns: int) -> str:
    """A name in lines of `columns`, at most four of them."""
    return "\n".join(wrap(shorten(one_line(name), 3 * columns), columns)[:4])
