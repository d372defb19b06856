"""Charts as files and in a page: whole, the same bytes again, text as text, nothing fetched, no name read as markup."""

import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib import rcParams
from matplotlib.figure import Figure
from matplotlib.image import imread

from coe_ray.analysis.charts import (
    CostPoint,
    cost_chart,
    dot_chart,
    heat_map,
    losses_chart,
    radar_chart,
    render_svg,
    save_chart,
    style,
)
from coe_ray.analysis.charts.output import CSS_VARIABLES
from tests.analysis.charts.inspection import parse_svg, svg_text
from tests.analysis.charts.test_rows import LOSSES

CHINESE = ("日志解析", "根因分析", "时间序列异常检测")
HOSTILE = (
    *("_hidden", "$x$ $", "<b>&amp;", "a\nb", "\0\x1b[0m", "", "x" * 300, "\\frac{1}{2}", "%s {}"),
    '</svg><script>window.hacked=1</script>" style="fill: #0072b2"',
)
VALUES = [40.0 + 7 * n for n in range(len(HOSTILE))]
POINTS = [CostPoint(name, cost, cost) for cost, name in enumerate(HOSTILE, start=1)]

CHARTS: dict[str, Callable[[], Figure]] = {
    "radar": lambda: radar_chart(CHINESE, {"通义千问": [50, 60, None], "b": [40, 70, 80]}),
    "dots": lambda: dot_chart(CHINESE, {"通义千问": [50, 60, None]}, [(40, 60), None, None], band=(1, 2), zero=True),
    "losses": lambda: losses_chart(LOSSES),
    "costs": lambda: cost_chart(
        [CostPoint(name, 10.0**n, 9 * n) for n, name in enumerate(CHINESE)], "tokens", "根因分析"
    ),
    "heat map": lambda: heat_map((*CHINESE, "unknown"), [[1234, 2, 3, 4], [0, 0, 0, 0], [9, 8, 7, 6]]),
    "hostile radar": lambda: radar_chart(HOSTILE, dict.fromkeys(HOSTILE, VALUES)),
    "hostile dots": lambda: dot_chart(HOSTILE, dict.fromkeys(HOSTILE, VALUES)),
    "hostile costs": lambda: cost_chart(POINTS, HOSTILE[2]),
    "hostile heat map": lambda: heat_map((*HOSTILE, "unknown"), [[1] * 11] * 10),
}
FOR_PAGES = {name: draw for name, draw in CHARTS.items() if "heat map" not in name}
every_chart_of_a_page = pytest.mark.parametrize("draw", FOR_PAGES.values(), ids=FOR_PAGES)
every_chart = pytest.mark.parametrize("draw", CHARTS.values(), ids=CHARTS)


@every_chart
def test_files_are_whole_with_a_white_edge_and_the_title(tmp_path: Path, draw: Callable[[], Figure]) -> None:
    png, svg = save_chart(draw(), "A $title_ <b>", tmp_path / "a.b")
    assert sorted(tmp_path.iterdir()) == [png, svg] == [tmp_path / "a.b.png", tmp_path / "a.b.svg"]
    header = png.read_bytes()[:24]
    assert header.startswith(b"\x89PNG")
    assert all(300 < side < 2500 for side in struct.unpack(">II", header[16:]))
    picture = imread(png)[:, :, :3]
    assert all((edge == 1).all() for edge in (picture[:3], picture[-3:], picture[:, :3], picture[:, -3:]))
    assert picture.min() < 0.2
    assert "A $title_ <b>" in svg_text(svg)


@pytest.mark.parametrize("draw", [draw for name, draw in CHARTS.items() if "hostile" not in name])
def test_the_same_input_makes_the_same_bytes_and_leaves_no_settings_behind(
    tmp_path: Path, draw: Callable[[], Figure]
) -> None:
    before = dict(rcParams)
    first = [picture.read_bytes() for picture in save_chart(draw(), "Title", tmp_path / "first")]
    inline = render_svg(draw(), "name", "Title", "Description")
    save_chart(CHARTS["losses"](), "Another in between", tmp_path / "between")
    assert [picture.read_bytes() for picture in save_chart(draw(), "Title", tmp_path / "second")] == first
    assert render_svg(draw(), "name", "Title", "Description") == inline
    assert dict(rcParams) == before


@every_chart_of_a_page
def test_in_a_page_nothing_is_fetched_or_run_and_no_style_leaks(draw: Callable[[], Figure]) -> None:
    svg = render_svg(draw(), "name", "Title <i>", "Description")
    root = parse_svg(svg)
    assert {element.tag for element in root.iter()} <= {
        "svg",
        "title",
        "desc",
        "g",
        "defs",
        "path",
        "text",
        "use",
        "tspan",
    }
    assert not re.search(r"https?:|url\(|xmlns", svg)
    assert not [key for element in root.iter() for key in element.attrib if key.startswith("on")]
    targets = [element.attrib["href"] for element in root.iter("use")]
    identifiers = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    assert {target.removeprefix("#") for target in targets} <= {*identifiers}
    assert len(identifiers) == len({*identifiers})
    assert all(identifier.startswith("name-") for identifier in identifiers)


@every_chart_of_a_page
def test_in_a_page_it_is_named_and_described(draw: Callable[[], Figure]) -> None:
    root = parse_svg(render_svg(draw(), "n", "Title <i>", "Description"))
    assert (root[0].tag, root[0].text, root[1].tag, root[1].text) == ("title", "Title <i>", "desc", "Description")
    labels = {root.attrib["aria-labelledby"]: root[0], root.attrib["aria-describedby"]: root[1]}
    assert all(element.attrib["id"] == name for name, element in labels.items())
    assert root.attrib["role"] == "img"


@every_chart_of_a_page
def test_in_a_page_colours_are_the_pages_and_texts_in_its_font(draw: Callable[[], Figure]) -> None:
    root = parse_svg(render_svg(draw(), "n", "Title", ""))
    styles = " ".join(element.attrib.get("style", "") for element in root.iter())
    assert "var(--ink)" in styles
    assert not any(colour in styles for colour in CSS_VARIABLES)
    assert "DejaVu" not in styles
    assert all("font-size" in element.attrib["style"] for element in root.iter("text"))


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.parametrize("name", ["radar", "dots", "costs", "heat map"])
def test_chinese_stays_text_with_a_font_or_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, installed: bool
) -> None:
    if not installed:
        monkeypatch.setattr(style, "CHINESE_FONTS", ())
    _, file = save_chart(CHARTS[name](), "运维任务", tmp_path / "chart")
    for written in (svg_text(file), svg_text(render_svg(CHARTS[name](), "n", "t", "d"))):
        assert all(task in written.replace(" ", "") for task in CHINESE)
    assert "运维任务" in svg_text(file)


def test_no_name_is_read_as_a_formula_or_lost() -> None:
    for name in ("hostile radar", "hostile dots", "hostile costs"):
        written = svg_text(render_svg(CHARTS[name](), "n", "t", "d"))
        for text in ("_hidden", "$x$ $", "<b>&amp;", "a b", "\\frac{1}{2}", "%s {}"):
            assert text in written, name
