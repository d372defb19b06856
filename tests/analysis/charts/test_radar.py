"""Radar charts: how far out a mark lies is the accuracy, every name is there, and no name covers another."""

import math
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from coe_ray.analysis.charts import numbers_tasks, radar_chart
from coe_ray.analysis.charts.radar import radar_rings, spoke_labels
from coe_ray.analysis.charts.style import bounds, series_styles
from tests.analysis.charts.inspection import series_lines, xs, ys

NAMES = st.text(min_size=1, max_size=40)
CHINESE = ("日志解析", "根因分析", "时间序列异常检测", "时间序列分类", "时间序列预测")


def marks_of(line: Line2D) -> list[tuple[float, float]]:
    """The marks, without the first again at the end; nan where there is none."""
    return list(zip(xs(line), ys(line), strict=True))[:-1]


def texts_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts] + [
        text.get_text() for legend in figure.legends for text in legend.get_texts()
    ]


def test_how_far_from_the_centre_is_how_accurate_and_tasks_go_clockwise_from_the_top() -> None:
    (line,) = series_lines(radar_chart(["a", "b", "c", "d"], {"one": [50, 90, 70, 80]}))
    low, high = 40, 90
    marks = marks_of(line)
    assert [low + (high - low) * math.hypot(*mark) for mark in marks] == pytest.approx([50, 90, 70, 80])
    assert marks[0] == pytest.approx((0, 0.2))
    assert marks[1] == pytest.approx((1, 0), abs=1e-9)


@pytest.mark.parametrize("missing", [0, 2])
def test_a_task_without_a_value_opens_the_line(missing: int) -> None:
    values: list[float | None] = [50, 60, 70, 80]
    values[missing] = None
    (line,) = series_lines(radar_chart(["a", "b", "c", "d"], {"one": values}))
    assert [place for place, mark in enumerate(marks_of(line)) if math.isnan(mark[0])] == [missing]
    assert len(xs(line)) == 5


@given(st.lists(NAMES, min_size=3, max_size=36))
def test_no_task_name_covers_another_or_the_chart(tasks: list[str]) -> None:
    labels = spoke_labels(tasks)
    blocks = [[label.box for label in labels if label.spoke == spoke] for spoke in {label.spoke for label in labels}]
    assert len(blocks) == len(tasks)
    for place, block in enumerate(blocks):
        assert not any(box.count_overlaps(other) for other in blocks[place + 1 :] for box in block)
    assert all(math.hypot(*(130 * x + away for x, away in zip(label.spoke, label.offset, strict=True))) >= 130
               for label in labels)  # fmt: skip


@settings(max_examples=25)
@given(st.dictionaries(NAMES, st.lists(st.none() | st.floats(0, 100), min_size=5, max_size=5), min_size=1, max_size=4))
def test_marks_are_inside_one_for_each_value(series: dict[str, list[float | None]]) -> None:
    lines = series_lines(radar_chart(list("abcde"), series))
    assert len(lines) == len(series)
    for line, values in zip(lines, series.values(), strict=True):
        marks = [mark for mark in marks_of(line) if not math.isnan(mark[0])]
        assert len(marks) == sum(value is not None for value in values)
        assert all(math.hypot(*mark) <= 1 + 1e-9 for mark in marks)


def test_everything_is_inside_the_frame_also_in_a_font_as_wide_as_chinese() -> None:
    figure = radar_chart(CHINESE, {"通义千问" * 4: [50, 60, 70, 80, 90]})
    frame = bounds(figure)
    for label in spoke_labels(CHINESE):
        box = label.box.translated(130, 130)
        assert frame.x0 <= box.x0
        assert box.x1 <= frame.x1


def test_tasks_too_close_to_be_named_are_numbered() -> None:
    close = [f"a task with a long name {n}" for n in range(20)]
    assert numbers_tasks(close)
    assert [label.text for label in spoke_labels(close)] == [str(n) for n in range(1, 21)]
    assert not numbers_tasks(CHINESE)
    assert not numbers_tasks(["1", "2", "3"])


@pytest.mark.parametrize(
    ("values", "rings"),
    [
        ([31, 69], [20, 30, 40, 50, 60, 70]),
        ([2, 98], [0, 20, 40, 60, 80, 100]),
        ([97, 99], [80, 90, 100]),
        ([], [0, 20, 40, 60, 80, 100]),
    ],
)
def test_rings_are_round_numbers(values: list[float], rings: list[int]) -> None:
    assert radar_rings(values) == rings


@given(st.lists(st.floats(0, 100), max_size=9))
def test_rings_are_few_and_around_all_values(values: list[float]) -> None:
    rings = radar_rings(values)
    assert 3 <= len(rings) <= 6
    assert 0 <= min(rings) <= min(values, default=0) <= max(values, default=100) <= max(rings) <= 100


def test_many_systems_all_look_different_and_are_named() -> None:
    figure = radar_chart(["a", "b", "c"], {f"system {n}": [50, 60, 70] for n in range(24)})
    styles = list(islice(((each["color"], each["linestyle"], each["marker"]) for each in series_styles()), 24))
    assert [line.get_color() for line in series_lines(figure)] == [colour for colour, _, _ in styles]
    assert [line.get_marker() for line in series_lines(figure)] == [marker for _, _, marker in styles]
    assert {f"system {n}" for n in range(24)} <= {*texts_of(figure)}


def test_without_systems_it_is_an_empty_web() -> None:
    figure = radar_chart(["Log Parser", "b", "c"], {})
    assert "Log Parser" in texts_of(figure)
    assert not figure.legends


@pytest.mark.parametrize(("tasks", "values"), [([], []), (["a", "b"], [1.0, 2.0]), (["a", "b", "c"], [1.0])])
def test_what_does_not_fit_is_refused(tasks: list[str], values: list[float]) -> None:
    with pytest.raises(ValueError, match="rows, but"):
        radar_chart(tasks, {"one": values})
