"""Charts as files and as SVG inside a page."""

import re
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from coe_ray.analysis.charts import style
from coe_ray.core.files import write_atomic

_NAMES = ("ink", "soft", "grid", "paper", "one", "two", "three", "four")
CSS_VARIABLES = dict(zip((style.INK, style.SOFT, style.GRID, style.PAPER, *style.COLOURS), _NAMES, strict=False))
"""The variables of the report's style sheet that stand for these colours, with other values in dark mode."""

_COLOUR = re.compile("|".join(CSS_VARIABLES))
_FONT_FAMILY = re.compile(r"font-family: [^;]*; ?")
_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"


@style.chart_style()
def save_chart(figure: Figure, title: str, path: Path) -> tuple[Path, Path]:
    """Write the chart under its title; returns the paths, which are `path` with .png and .svg added."""
    box = Bbox(figure.transFigure.inverted().transform(style.bounds(figure)))
    top = box.y1 + 14 / (72 * figure.get_figheight())
    figure.text(box.x0, top, style.fold(title, 70), ha="left", va="bottom", fontsize=13, fontweight="bold")
    frame = _inches(style.bounds(figure).padded(14))
    pictures = path.with_name(f"{path.name}.png"), path.with_name(f"{path.name}.svg")
    for picture, metadata in zip(pictures, ({}, {"Date": None}), strict=True):
        content = BytesIO()
        figure.savefig(content, format=picture.suffix[1:], dpi=150, bbox_inches=frame, metadata=metadata)
        write_atomic(picture, content.getvalue())
    return pictures


@style.chart_style()
def render_svg(figure: Figure, name: str, title: str, description: str) -> str:
    """The chart as an SVG element for the report's page: its fonts, its colours, nothing that is fetched.

    `name` begins all identifiers, which must be the page's only ones; title and description are for screen readers.
    """
    box = style.bounds(figure).padded(4)
    missing = max(0.0, style.CHART_WIDTH - box.width) / 2  # so that all charts have text of one size
    frame = Bbox.from_extents(box.x0 - missing, box.y0, box.x1 + missing, box.y1)
    figure.patch.set_visible(False)
    for artist in figure.findobj():
        artist.set_clip_on(False)  # a clip path would be an address
    content = BytesIO()
    figure.savefig(content, format="svg", bbox_inches=_inches(frame))
    drawing = ElementTree.fromstring(content.getvalue())  # noqa: S314 - written just now
    return _embed(drawing, name, title, description)


def _inches(box: Bbox) -> Bbox:
    return Bbox(box.get_points() / 72)


def _embed(drawing: ElementTree.Element, name: str, title: str, description: str) -> str:
    """matplotlib's document as an element: without its metadata and style sheet, which would be the page's."""
    for parent in list(drawing.iter()):
        for child in list(parent):
            if child.tag == f"{_SVG}style" or not child.tag.startswith(_SVG) or child.tag == f"{_SVG}metadata":
                parent.remove(child)
    for element in drawing.iter():
        element.tag = element.tag.removeprefix(_SVG)
        if (target := element.attrib.pop(_HREF, None)) is not None:
            element.set("xlink:href", f"#{name}-{target.removeprefix('#')}")
        identifier = element.attrib.pop("id", None)
        if identifier is not None and element.tag != "g":
            element.set("id", f"{name}-{identifier}")
        if css := element.get("style"):
            coloured = _COLOUR.sub(lambda match: f"var(--{CSS_VARIABLES[match[0]]})", css)
            element.set("style", _FONT_FAMILY.sub("", coloured))
    view_box = drawing.attrib["viewBox"]
    drawing.attrib.clear()
    labelled = {"role": "img", "aria-labelledby": f"{name}-title", "aria-describedby": f"{name}-description"}
    drawing.attrib.update({"class": "chart", "viewBox": view_box, **labelled})
    for place, (tag, text) in enumerate((("title", title), ("desc", description))):
        part = ElementTree.Element(tag, id=f"{name}-{'description' if place else 'title'}")
        part.text = text
        drawing.insert(place, part)
    return ElementTree.tostring(drawing, encoding="unicode")
