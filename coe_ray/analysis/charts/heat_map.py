"""Confusion matrix as a heat map."""

from collections.abc import Sequence

from matplotlib import colormaps
from matplotlib.figure import Figure

from coe_ray.analysis.charts import style
from coe_ray.analysis.tables import one_line, shorten, width

SHADES = colormaps["Blues"]
DARK_SHARE = 0.715
"""From this share of a row on, white on the shade of the cell has more contrast than black."""


@style.chart_style()
def heat_map(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> Figure:
    """A confusion matrix: rows are true tasks, columns named tasks, of which the last is `unknown` and has no row.

    Shaded by share of the row, with the count in every cell. Raises ValueError where the matrix is not of that shape.
    """
    if len(matrix) != len(labels) - 1 or any(len(row) != len(labels) for row in matrix):
        raise ValueError(f"{len(labels)} labels, but rows of {[len(row) for row in matrix]} counts")
    slanted = len(labels) > 9
    names = [shorten(one_line(label), 30) if slanted else style.fold(label, 14) for label in labels]
    cell = 45.0 if slanted else max(50.0, *(6.5 * width(line) for name in names for line in name.split("\n")))
    figure, axes = style.add_axes(cell * len(labels), max(115, 40 * len(matrix)))
    shares = [[count / max(1, sum(row)) for count in row] for row in matrix]
    cells = axes.pcolormesh(shares, cmap=SHADES, vmin=0, vmax=1, edgecolors=style.PAPER, linewidth=1.5)
    for row, counts in enumerate(matrix):
        for column, count in enumerate(counts):
            colour = style.PAPER if shares[row][column] > DARK_SHARE else "black" if count else style.SOFT
            weight = "bold" if row == column else "normal"
            axes.text(column + 0.5, row + 0.5, f"{count:,}", ha="center", va="center", color=colour, fontweight=weight)
    axes.set_xticks([column + 0.5 for column in range(len(labels))], names)
    axes.set_yticks([row + 0.5 for row in range(len(matrix))], [style.fold(label, 22) for label in labels[:-1]])
    if slanted:
        axes.tick_params(axis="x", rotation=45)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.invert_yaxis()
    axes.set_xlabel("named task", labelpad=8)
    axes.set_ylabel("true task", labelpad=8)
    scale = figure.add_axes((1 + 18 / axes.bbox.width, 0, 11 / axes.bbox.width, 1))
    bar = figure.colorbar(cells, cax=scale, ticks=[0, 0.5, 1], format=lambda x, _: f"{x:.0%}")
    bar.set_label("share of the true task")
    bar.outline.set_visible(False)
    return figure
