"""What a chart holds."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D


def xs(line: Line2D) -> list[float]:
    return [float(x) for x in np.asarray(line.get_xdata(), dtype=float)]


def ys(line: Line2D) -> list[float]:
    return [float(y) for y in np.asarray(line.get_ydata(), dtype=float)]


def series_lines(figure: Figure) -> list[Line2D]:
    """The lines of the series, which lie above grid and ranges."""
    return [line for line in figure.axes[0].lines if line.get_zorder() > 2.5]


def range_lines(figure: Figure) -> list[Line2D]:
    """The bars behind the marks of a chart with rows."""
    return [line for line in figure.axes[0].lines if line.get_zorder() == 2]


def parse_svg(svg: str) -> ElementTree.Element:
    """An element of a page, where the prefix needs no declaration."""
    return ElementTree.fromstring(svg.replace("xlink:href", "href"))


def svg_text(svg: str | Path) -> str:
    """All text of an SVG; lines of one name follow each other."""
    root = parse_svg(svg) if isinstance(svg, str) else ElementTree.parse(svg).getroot()
    return " ".join("".join(element.itertext()) for element in root.iter() if element.tag.endswith("text"))
