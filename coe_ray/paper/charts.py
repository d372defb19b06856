"""The paper's kinds of figures, each as PNG and SVG: radar charts of accuracy by task, confusion matrices, losses.

Systems are told apart by colour (Okabe and Ito's, made for colour-blind readers), line and marker, so that a print in
grey will do. The same input makes the same bytes. Text in an SVG stays text: it can be searched, and a viewer has
fonts for Chinese where this machine has none, whose PNG shows boxes instead.
"""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from matplotlib import colormaps, rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.patches import Patch

from coe_ray.analysis.columns import one_line, shorten, width, wrap
from coe_ray.core.files import write_atomic

# Black and a grey stand in the place of the palette's yellow, which is too pale for lines on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#7F7F7F")
_LINES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (9, 2)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p")
_HATCHES = ("", "//", "..", "xx", "\\\\", "||", "--")
_GAIN, _LOSS = _COLOURS[0], _COLOURS[1]
_FAINT = "#D0D0D0"
_SOFT = "#595959"

SHADES = colormaps["Blues"]
DARK = 0.715
"""From this share of a row on, white on the shade of the cell has more contrast than black."""

_CHINESE = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "PingFang SC",
    "Hiragino Sans GB",
    "Heiti SC",
    "Microsoft YaHei",
    "SimHei",
    "Noto Sans CJK JP",  # all that matplotlib before 3.11 sees of a collection
    "Droid Sans Fallback",
    "Arial Unicode MS",
)


def radar(
    title: str, tasks: Sequence[str], series: Mapping[str, Sequence[float | None]], path: Path
) -> tuple[Path, Path]:
    """Accuracy per task in percent, a polygon for each system; bars where there are fewer than three tasks.

    The middle of the chart is a round number below the lowest value, as its rings say; bars begin at zero. A None is
    a gap. Returns `path` with .png and .svg added. Raises ValueError where a system has not a value for
    each task, or there is no task.
    """
    if not tasks or any(len(values) != len(tasks) for values in series.values()):
        raise ValueError(f"{title}: {len(tasks)} tasks, but {[len(values) for values in series.values()]} values")
    with _drawing():
        figure = Figure(figsize=(6, 6))
        handles = _bars(figure, tasks, series) if len(tasks) < 3 else _polygons(figure, tasks, series)
        _frame(figure, title, handles, series)
        return _saved(figure, path)


def heat_map(title: str, labels: Sequence[str], matrix: Sequence[Sequence[int]], path: Path) -> tuple[Path, Path]:
    """A confusion matrix: rows are true tasks, columns named tasks, of which the last is `unknown` and has no row.

    Shaded by share of the row, with the count in every cell. Returns `path` with .png and .svg added. Raises
    ValueError where the matrix is not of that shape.
    """
    if len(matrix) != len(labels) - 1 or any(len(row) != len(labels) for row in matrix):
        raise ValueError(f"{title}: {len(labels)} labels, but rows of {[len(row) for row in matrix]} counts")
    with _drawing():
        figure = Figure()
        axes = _cells(figure, labels, matrix)
        axes.set_xlabel("named task", labelpad=8)
        axes.set_ylabel("true task", labelpad=8)
        _frame(figure, title)
        return _saved(figure, path)


def losses_chart(title: str, parts: Mapping[str, float], path: Path) -> tuple[Path, Path]:
    """Signed percentage points as bars to the right (gains) and to the left (losses), the first part on top.

    Returns `path` with .png and .svg added.
    """
    with _drawing():
        figure = Figure(figsize=(7, 0.9 + 0.45 * len(parts)))
        axes = figure.add_subplot()
        for place, points in enumerate(parts.values()):
            _loss(axes, place, points)
        axes.axvline(0, color="black", linewidth=1)
        axes.set_yticks(range(len(parts)), [_folded(name, 36) for name in parts])
        axes.invert_yaxis()
        axes.margins(x=0.16)
        axes.set_xlabel("percentage points of accuracy")
        axes.grid(axis="x", color=_FAINT)
        _bare(axes)
        _frame(figure, title)
        return _saved(figure, path)


def _loss(axes: Axes, place: int, points: float) -> None:
    colour, away, aligned = (_GAIN, 4, "left") if points >= 0 else (_LOSS, -4, "right")
    shown = f"{round(points, 2) + 0.0:+.2f}".replace("-", "−")
    axes.barh(place, points, height=0.6, color=colour)
    axes.annotate(shown, (points, place), (away, 0), textcoords="offset points", ha=aligned, va="center")


# Polygons and bars


def _polygons(figure: Figure, tasks: Sequence[str], series: Mapping[str, Sequence[float | None]]) -> list[Artist]:
    axes = figure.add_subplot(projection="polar")
    axes.set(theta_zero_location="N", theta_direction=-1)
    axes.set_axis_off()
    angles = [2 * math.pi * place / len(tasks) for place in range(len(tasks))]
    rings = _rings([value for values in series.values() for value in values if value is not None])
    axes.set_ylim(rings[0], rings[-1])
    _web(axes, angles, rings)
    for angle, task in zip(angles, tasks, strict=True):
        _spoke_label(axes, angle, 1.05 * rings[-1] - 0.05 * rings[0], _folded(task, 16))
    lines = []
    for values, style in zip(series.values(), _line_styles(), strict=False):
        radii = [math.nan if value is None else value for value in values]
        lines += axes.plot(_closed(angles), _closed(radii), linewidth=1.8, markersize=6, clip_on=False, **style)
    return [*lines]


def _rings(values: Sequence[float]) -> list[int]:
    """From three to six round numbers around the values. The lowest value is five above the middle, as far as it can
    be: in the middle itself all tasks are one point.
    """
    low = min(80, max(0, 10 * math.floor((min(values, default=0) - 5) / 10)))
    high = max(low + 20, 10 * math.ceil(max(values, default=100) / 10))
    step = 10 if high - low <= 50 else 20
    return list(range(step * math.floor(low / step), step * math.ceil(high / step) + 1, step))


def _web(axes: Axes, angles: Sequence[float], rings: Sequence[int]) -> None:
    """Spokes and rings, each ring with its number: in the middle of a side, as there are no values of systems."""
    for angle in angles:
        axes.plot([angle, angle], [rings[0], rings[-1]], color=_FAINT, linewidth=0.8, zorder=1)
    side = math.pi / len(angles)
    for ring in rings:
        axes.plot(_closed(angles), [ring] * (len(angles) + 1), color=_FAINT, linewidth=0.8, zorder=1, clip_on=False)
        axes.text(
            -side,
            rings[0] + (ring - rings[0]) * math.cos(side),
            f"{ring}%",
            fontsize=8,
            color=_SOFT,
            ha="center",
            va="center",
            zorder=1.5,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )


def _spoke_label(axes: Axes, angle: float, radius: float, name: str) -> None:
    """A task at the end of its spoke, growing away from the chart. Angles go clockwise from the top."""
    right, up = math.sin(angle), math.cos(angle)
    across = "center" if abs(right) < 0.1 else "left" if right > 0 else "right"
    along = "bottom" if up > 0.9 else "top" if up < -0.9 else "center"
    axes.text(angle, radius, name, ha=across, va=along)


def _closed(values: Sequence[float]) -> list[float]:
    return [*values, values[0]]


def _bars(figure: Figure, tasks: Sequence[str], series: Mapping[str, Sequence[float | None]]) -> list[Artist]:
    wide = 0.8 / max(1, len(series))
    figure.set_size_inches(max(4.0, 1.5 + 0.5 * len(tasks) * (len(series) + 0.5)), 4)
    axes = figure.add_subplot()
    handles: list[Artist] = []
    for number, (values, style) in enumerate(zip(series.values(), _bar_styles(), strict=False)):
        handles.append(Patch(**style))
        for task, value in enumerate(values):
            place = task - 0.4 + wide * (number + 0.5)
            axes.bar(place, value or 0, 0.9 * wide, **style)
            shown = "–" if value is None else f"{value:.1f}"
            axes.annotate(shown, (place, value or 0), (0, 3), textcoords="offset points", ha="center", fontsize=9)
    axes.set_xticks(range(len(tasks)), [_folded(task, 24) for task in tasks])
    axes.set_xlim(-0.5, len(tasks) - 0.5)
    axes.set_ylim(0, 100)
    axes.set_ylabel("accuracy, %")
    axes.grid(axis="y", color=_FAINT)
    _bare(axes)
    return handles


def _line_styles() -> Iterator[dict[str, Any]]:
    """Endless: lengths without a common factor make the combinations come again after 440 systems."""
    for colour, line, marker in zip(cycle(_COLOURS), cycle(_LINES), cycle(_MARKERS), strict=False):
        yield {"color": colour, "linestyle": line, "marker": marker}


def _bar_styles() -> Iterator[dict[str, Any]]:
    for colour, hatch in zip(cycle(_COLOURS), cycle(_HATCHES), strict=False):
        yield {"facecolor": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0}


# The confusion matrix


def _cells(figure: Figure, labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> Axes:
    slanted = len(labels) > 9
    names = [shorten(one_line(label), 30) if slanted else _folded(label, 14) for label in labels]
    wide = 0.62 if slanted else max(0.7, *(0.085 * width(line) for name in names for line in name.split("\n")))
    axes, scale = _side_by_side(figure, wide * len(labels), max(1.6, 0.56 * len(matrix)))
    shares = [[count / max(1, sum(row)) for count in row] for row in matrix]
    axes.pcolormesh(shares, cmap=SHADES, vmin=0, vmax=1, edgecolors="white", linewidth=1.5)
    for row, counts in enumerate(matrix):
        for column, count in enumerate(counts):
            _count(axes, row, column, count, shares[row][column])
    axes.set_xticks([column + 0.5 for column in range(len(labels))], names)
    axes.set_yticks([row + 0.5 for row in range(len(matrix))], [_folded(label, 22) for label in labels[:-1]])
    if slanted:
        axes.tick_params(axis="x", rotation=45)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.invert_yaxis()
    _bare(axes)
    bar = figure.colorbar(ScalarMappable(cmap=SHADES), cax=scale, ticks=[0, 0.5, 1], format=lambda x, _: f"{x:.0%}")
    bar.set_label("share of the true task")
    bar.outline.set_visible(False)
    scale.tick_params(length=0)
    return axes


def _side_by_side(figure: Figure, wide: float, high: float) -> tuple[Axes, Axes]:
    """Axes of a size in inches, and beside them those of the scale."""
    whole = wide + 0.4
    figure.set_size_inches(whole, high)
    return figure.add_axes((0, 0, wide / whole, 1)), figure.add_axes(((wide + 0.25) / whole, 0, 0.15 / whole, 1))


def _count(axes: Axes, row: int, column: int, count: int, share: float) -> None:
    colour = "white" if share > DARK else "black" if count else _SOFT
    weight = "bold" if row == column else "normal"
    axes.text(column + 0.5, row + 0.5, f"{count:,}", ha="center", va="center", color=colour, fontweight=weight)


# All figures


@contextmanager
def _drawing() -> Iterator[None]:
    """Settings for one figure. `$` in a name is no formula, and identifiers in an SVG are not drawn by lot."""
    installed = {font.name for font in fontManager.ttflist}
    settings: Any = {  # typed as the names of all settings, one by one
        # The first that has a character draws it; the last is for whoever opens an SVG without either.
        "font.family": ["DejaVu Sans", *islice((name for name in _CHINESE if name in installed), 1), "sans-serif"],
        "font.size": 10,
        "hatch.linewidth": 1.2,
        "text.parse_math": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "coe_ray",
    }
    with rc_context(settings), warnings.catch_warnings():
        # No font for Chinese here: boxes in the PNG, text in the SVG, and no reason to stop a study at its end.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        yield


def _frame(
    figure: Figure, title: str, handles: Sequence[Artist] = (), names: Sequence[str] | Mapping[str, Any] = ()
) -> None:
    """The title above everything that is drawn so far, and the legend to the right of it: whatever their lengths."""
    drawn = filter(None, (axes.get_tightbbox() for axes in figure.axes))
    boxes = [box.transformed(figure.transFigure.inverted()) for box in drawn]
    left, right = min(box.x0 for box in boxes), max(box.x1 for box in boxes)
    low, high = min(box.y0 for box in boxes), max(box.y1 for box in boxes)
    wide, tall = figure.get_size_inches()
    if handles:
        place = (right + 0.2 / wide, (low + high) / 2)
        labels = [_folded(name, 34) for name in names]
        figure.legend(handles, labels, loc="center left", bbox_to_anchor=place, frameon=False, handlelength=3.5)
    figure.text(left, high + 0.2 / tall, _folded(title, 70), ha="left", va="bottom", fontsize=12, fontweight="bold")


def _saved(figure: Figure, path: Path) -> tuple[Path, Path]:
    pictures = path.with_name(f"{path.name}.png"), path.with_name(f"{path.name}.svg")
    for picture, metadata in zip(pictures, ({}, {"Date": None}), strict=True):
        content = BytesIO()
        figure.savefig(
            content, format=picture.suffix[1:], dpi=150, bbox_inches="tight", pad_inches=0.2, metadata=metadata
        )
        write_atomic(picture, content.getvalue())
    return pictures


def _bare(axes: Axes) -> None:
    """No frame, no tick marks, the grid behind what it measures."""
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _folded(name: str, columns: int) -> str:
    """A name in lines of `columns`, at most four of them."""
    return "\n".join(wrap(shorten(one_line(name), 3 * columns), columns)[:4])
