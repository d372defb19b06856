"""The look that charts share: settings, styles of series, axes with rows, legends, and the room of texts."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import rcParams
from matplotlib.figure import Figure

from coe_ray.analysis.charts import style
from coe_ray.analysis.tables import width

NAMES = st.text(st.characters(codec="utf-8"), max_size=60)


def test_settings_hold_within_and_are_gone_after_an_error() -> None:
    before = dict(rcParams)
    with pytest.raises(OSError, match="disk full"), style.chart_style():
        assert rcParams["text.parse_math"] is False
        assert rcParams["svg.fonttype"] == "none"
        raise OSError("disk full")
    assert dict(rcParams) == before


def test_440_systems_all_look_different() -> None:
    looks = [(each["color"], each["linestyle"], each["marker"]) for each in islice(style.series_styles(), 440)]
    assert len(set(looks)) == 440


@pytest.mark.parametrize(
    ("rows", "series"), [([], {}), (["a"], {"one": []}), (["a", "b"], {"one": [1.0, None], "two": [1.0, 2.0, 3.0]})]
)
def test_a_value_for_each_row_is_needed(rows: list[str], series: dict[str, list[float | None]]) -> None:
    with pytest.raises(ValueError, match=f"{len(rows)} rows, but"):
        style.check_lengths(rows, series)


def test_a_missing_value_is_a_value() -> None:
    style.check_lengths(["a", "b"], {"one": [None, 1.0]})


def test_rows_are_named_and_the_first_is_on_top() -> None:
    figure, axes = style.row_axes(["Log Parser", "two\nlines", "x" * 100], 20.0)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[:2] == ["Log Parser", "two lines"]
    assert width(labels[2]) <= 24
    heights = axes.transData.transform([(0, place) for place in range(3)])[:, 1]
    assert heights[0] > heights[1] > heights[2]
    assert figure.get_figheight() * 72 == pytest.approx(3 * 20)


def test_longer_names_leave_less_room_for_the_marks() -> None:
    short, long = (style.row_axes([name], 20.0)[0] for name in ("a", "a" * 24))
    assert short.get_figwidth() - long.get_figwidth() == pytest.approx(style.COLUMN_WIDTH * style.FONT_SIZE * 23 / 72)


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (6, 1), (7, 2), (40, 2)])
def test_a_legend_lies_below_the_chart_in_two_columns_where_it_is_long(count: int, columns: int) -> None:
    figure, axes = style.add_axes(200, 100)
    lines = [axes.plot([0, 1], [0, 1])[0] for _ in range(count)]
    lowest = style.bounds(figure).y0
    style.add_legend(figure, lines, [f"system {number}" for number in range(count)])
    [legend] = figure.legends
    figure.draw_without_rendering()
    assert legend.get_window_extent().y1 <= lowest
    assert len({round(text.get_window_extent().x0) for text in legend.get_texts()}) == columns
    assert [text.get_text() for text in legend.get_texts()] == [f"system {number}" for number in range(count)]


def test_a_blank_name_has_a_place_in_the_legend_and_no_series_have_none() -> None:
    figure, axes = style.add_axes(200, 100)
    style.add_legend(figure, [], [])
    assert figure.legends == []
    style.add_legend(figure, axes.plot([0, 1]), [" "])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["?"]


@given(NAMES.filter(str.strip), st.sampled_from(["left", "right", "center"]))
def test_a_box_has_room_for_the_text_on_its_side(text: str, ha: str) -> None:
    box = style.text_box(text, 100.0, 50.0, ha)
    columns = max(map(width, text.split("\n")))
    assert box.width == pytest.approx(style.COLUMN_WIDTH * style.FONT_SIZE * columns)
    assert box.height == style.LINE_HEIGHT * len(text.split("\n"))
    assert (box.y0 + box.y1) / 2 == pytest.approx(50)
    assert {"left": box.x0, "right": box.x1, "center": (box.x0 + box.x1) / 2}[ha] == pytest.approx(100)


def test_chinese_takes_twice_the_room() -> None:
    assert style.text_box("日志", 0, 0, "left").width == style.text_box("logs", 0, 0, "left").width


@given(NAMES, st.integers(4, 30))
def test_a_name_is_folded_into_a_few_short_lines(name: str, columns: int) -> None:
    lines = style.fold(name, columns).split("\n")
    assert len(lines) <= 4
    assert all(width(line) <= columns for line in lines)


def test_a_short_name_is_not_folded() -> None:
    assert style.fold("Root Cause Analysis", 30) == "Root Cause Analysis"
    assert style.fold("Root Cause Analysis", 12) == "Root Cause\nAnalysis"


def labelled(text: str, *, visible: bool = True) -> Figure:
    figure, _ = style.add_axes(200, 100)
    figure.text(0, -0.5, text, visible=visible)
    return figure


def test_bounds_are_around_all_that_is_visible() -> None:
    plain, _ = style.add_axes(200, 100)
    low = style.bounds(labelled("below"))
    assert low.y0 < style.bounds(plain).y0
    assert style.bounds(labelled("below", visible=False)).y0 == style.bounds(plain).y0
    assert style.bounds(labelled("W" * 60)).x1 >= style.COLUMN_WIDTH * style.FONT_SIZE * 60
