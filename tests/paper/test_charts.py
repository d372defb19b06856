"""The figures: that both files are whole, say what they must, lose nothing at the edge, and come out the same again."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib import rcParams
from matplotlib.image import imread

from coe_ray.paper import charts as figures
from coe_ray.paper.charts import DARK, SHADES, heat_map, losses_chart, radar
from coe_ray.paper.published import TASKS

ALL_TASKS = (*TASKS["A"], *TASKS["B"])
CHINESE = ("日志解析", "根因分析", "时间序列异常检测")
NASTY = ("_hidden", "$x$ $", "<b>&amp;", "a\nb", "\0\x1b[0m", "", "x" * 300, "\\frac{1}{2}", "%s {}")
LOSSES = {"question oracle": 14.3, "mapping learnt on other folds": -0.31, "parsing": 0.0}

Drawing = Callable[[Path], tuple[Path, Path]]


def accuracies(tasks: int, systems: int = 3) -> dict[str, list[float | None]]:
    return {f"system {n}": [40.0 + (7 * n + 13 * task) % 50 for task in range(tasks)] for n in range(systems)}


def confusion(tasks: int) -> list[list[int]]:
    return [[1234 if true == named else (true + named) % 3 for named in range(tasks + 1)] for true in range(tasks)]


def words(svg: Path) -> str:
    """All text of an SVG; lines of one name follow each other."""
    return " ".join(text for element in ElementTree.parse(svg).iter() for text in shown(element))


def shown(element: ElementTree.Element) -> Iterator[str]:
    if element.tag.endswith("}text"):
        yield "".join(element.itertext())


def pixels(png: Path) -> tuple[int, int]:
    header = png.read_bytes()[:24]
    assert header.startswith(b"\x89PNG")
    wide, high = struct.unpack(">II", header[16:])
    return wide, high


def check(pictures: tuple[Path, Path], path: Path) -> str:
    """Both files are where they belong, of a size for a page, with a white edge; returns the text of the SVG."""
    png, svg = pictures
    assert (png, svg) == (path.with_name(path.name + ".png"), path.with_name(path.name + ".svg"))
    assert sorted(path.parent.iterdir()) == [png, svg]
    assert all(300 < side < 2500 for side in pixels(png))
    picture = imread(png)[:, :, :3]
    assert all((edge == 1).all() for edge in (picture[:3], picture[-3:], picture[:, :3], picture[:, -3:]))
    assert picture.min() < 0.2
    return words(svg)


@pytest.mark.parametrize("tasks", [1, 2, 3, 5, 8, 13])
def test_a_radar_names_every_task_and_every_system(tmp_path: Path, tasks: int) -> None:
    path = tmp_path / "fig5"
    text = check(radar("Accuracy by task", ALL_TASKS[:tasks], accuracies(tasks), path), path)
    for name in ("Accuracy by task", *ALL_TASKS[:tasks], "system 0", "system 1", "system 2"):
        assert name in text
    assert ("accuracy, %" in text) == (tasks < 3)


@pytest.mark.parametrize("tasks", [1, 2, 3, 8, 13])
def test_a_heat_map_names_every_task_and_prints_every_count(tmp_path: Path, tasks: int) -> None:
    path = tmp_path / "fig9"
    labels = (*ALL_TASKS[:tasks], "unknown")
    text = check(heat_map("Classifier 1", labels, confusion(tasks), path), path)
    for name in ("Classifier 1", "true task", "named task", *labels):
        assert name in text
    assert text.count("1,234") == tasks


def test_losses_are_signed(tmp_path: Path) -> None:
    text = check(losses_chart("Losses", LOSSES, tmp_path / "losses"), tmp_path / "losses")
    for shown in (*LOSSES, "+14.30", "−0.31", "+0.00", "percentage points of accuracy"):
        assert shown in text


def test_a_loss_too_small_to_show_has_no_minus(tmp_path: Path) -> None:
    assert "−0.00" not in words(losses_chart("Losses", {"a": -0.001, "b": -1}, tmp_path / "losses")[1])


def test_many_systems_all_look_different(tmp_path: Path) -> None:
    path = tmp_path / "many"
    text = check(radar("Many", ALL_TASKS, accuracies(13, systems=24), path), path)
    assert all(f"system {n}" in text for n in range(24))


@pytest.mark.parametrize("tasks", [2, 5])
def test_what_is_missing_is_a_gap(tmp_path: Path, tasks: int) -> None:
    series: dict[str, list[float | None]] = {"half": [50.0, *[None] * (tasks - 1)], "none": [None] * tasks}
    text = check(radar("Gaps", ALL_TASKS[:tasks], series, tmp_path / "gaps"), tmp_path / "gaps")
    assert "none" in text
    assert (text.count("–") == 3) == (tasks == 2)


@pytest.mark.parametrize("value", [0.0, 100.0, 99.99, 0.01, 50.0])
def test_a_chart_of_equal_values_still_has_rings(tmp_path: Path, value: float) -> None:
    text = words(radar("Equal", ALL_TASKS[:5], {"a": [value] * 5}, tmp_path / "equal")[1])
    rings = [int(word[:-1]) for word in text.split() if word.endswith("%")]
    assert 3 <= len(rings) <= 6
    assert 0 <= min(rings) <= value <= max(rings) <= 100


def test_no_system_is_an_empty_chart(tmp_path: Path) -> None:
    assert "Log Parser" in words(radar("Empty", ALL_TASKS[:5], {}, tmp_path / "empty")[1])
    assert "Log Parser" in words(radar("Empty", ALL_TASKS[:1], {}, tmp_path / "empty")[1])


def test_no_loss_is_an_empty_chart(tmp_path: Path) -> None:
    assert "Losses" in words(losses_chart("Losses", {}, tmp_path / "empty")[1])


def test_a_task_without_questions_is_a_row_of_zeros(tmp_path: Path) -> None:
    matrix = [[3, 0, 1], [0, 0, 0]]
    path = tmp_path / "zeros"
    text = check(heat_map("Zeros", ("a", "b", "unknown"), matrix, path), path)
    assert text.split().count("0") == 4


@pytest.mark.parametrize(
    ("labels", "matrix"),
    [(("a", "unknown"), [[1, 2], [3, 4]]), (("a", "b", "unknown"), [[1, 2], [3, 4]]), ((), []), (("a", "unknown"), [])],
)
def test_a_matrix_of_another_shape_is_refused(tmp_path: Path, labels: tuple[str, ...], matrix: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="Odd"):
        heat_map("Odd", labels, matrix, tmp_path / "odd")


@pytest.mark.parametrize(("tasks", "values"), [((), []), (("a", "b", "c"), [1.0, 2.0])])
def test_a_value_for_each_task_is_needed(tmp_path: Path, tasks: tuple[str, ...], values: list[float]) -> None:
    with pytest.raises(ValueError, match="Odd"):
        radar("Odd", tasks, {"a": values}, tmp_path / "odd")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("installed", [True, False])
def test_chinese_is_drawn_with_a_font_or_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    if not installed:
        monkeypatch.setattr(figures, "_CHINESE", ())
    text = words(radar("运维任务", CHINESE, {"通义千问": [50.0, 60.0, 70.0]}, tmp_path / "radar")[1])
    text += words(heat_map("分类", (*CHINESE, "unknown"), confusion(3), tmp_path / "heat")[1])
    text += words(losses_chart("损失", {"解析": -1.0}, tmp_path / "losses")[1])
    for name in ("运维任务", *CHINESE, "通义千问", "分类", "损失", "解析"):
        assert name in text.replace(" ", "")


def test_no_name_is_read_as_a_formula_or_breaks_the_xml(tmp_path: Path) -> None:
    text = check(
        radar("$title_", NASTY, {name: [50.0] * len(NASTY) for name in NASTY}, tmp_path / "a.b"), tmp_path / "a.b"
    )
    for name in ("$title_", "_hidden", "$x$ $", "<b>&amp;", "a b", "\\frac{1}{2}", "%s {}"):
        assert name in text
    heat_map("$", (*NASTY, "unknown"), confusion(len(NASTY)), tmp_path / "heat")
    losses_chart("$", dict.fromkeys(NASTY, 1.0), tmp_path / "losses")


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda path: radar("Title", ALL_TASKS[:5], accuracies(5), path), id="radar"),
        pytest.param(lambda path: radar("Title", ALL_TASKS[:2], accuracies(2, systems=9), path), id="bars"),
        pytest.param(lambda path: heat_map("Title", (*ALL_TASKS[:3], "unknown"), confusion(3), path), id="heat map"),
        pytest.param(lambda path: losses_chart("Title", LOSSES, path), id="losses"),
    ],
)
def test_the_same_input_makes_the_same_bytes_and_leaves_no_settings_behind(tmp_path: Path, draw: Drawing) -> None:
    before = dict(rcParams)
    first = [picture.read_bytes() for picture in draw(tmp_path / "first")]
    radar("Another in between", ALL_TASKS[:4], accuracies(4), tmp_path / "between")
    assert [picture.read_bytes() for picture in draw(tmp_path / "second")] == first
    assert dict(rcParams) == before


@pytest.mark.parametrize("share", [step / 100 for step in range(101)])
def test_a_count_is_readable_on_every_shade(share: float) -> None:
    """At least the 4.5 to 1 that WCAG 2 asks of text."""
    shade = luminance(SHADES(share)[:3])
    contrast = 1.05 / (shade + 0.05) if share > DARK else (shade + 0.05) / 0.05
    assert contrast >= 4.5


def luminance(colour: tuple[float, ...]) -> float:
    """Relative luminance as WCAG 2 defines it, in [0, 1]."""
    linear = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour)
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
