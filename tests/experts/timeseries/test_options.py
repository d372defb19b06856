"""Options read: yes or no, values, intervals and periods, and points by position, time or value."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.experts.timeseries.options import (
    Interval,
    PointNotation,
    denies_anomaly,
    detect_notation,
    has_positions,
    parse_intervals,
    parse_period,
    parse_points,
    parse_values,
    parse_yes_no,
)
from coe_ray.experts.timeseries.series import Series

VALUES = Series(np.array([10.0, 11, 10, 50, 9, 10, 12, 8]))
TIMES = Series(VALUES.values, tuple(f"10:0{minute}" for minute in range(8)))
BY_INDEX, BY_VALUE = PointNotation(True, 0, False), PointNotation(False, 0, False)
INFINITY = float("inf")


@pytest.mark.parametrize("option", ["no anomaly", "none of the points", "Normal", "没有异常", "无", "not an outlier"])
def test_an_option_that_denies_an_anomaly(option: str) -> None:
    assert denies_anomaly(option)


@pytest.mark.parametrize("option", ["index 7", "abnormal", "不正常", "an outlier", "是"])
def test_an_option_that_denies_none(option: str) -> None:
    assert not denies_anomaly(option)


@pytest.mark.parametrize(
    ("option", "meaning"),
    [("Yes", True), ("是的", True), ("True.", True), ("No", False), ("否", False), ("None", None), ("normally", None)],
)
def test_yes_and_no_stand_first(option: str, meaning: bool | None) -> None:
    assert parse_yes_no(option) is meaning


@pytest.mark.parametrize(
    ("option", "period"),
    [("period of 12", 12), ("periodic with period 4", 4), ("every 7 days", 7), ("周期为24", 24), ("a trend", None)],
)
def test_a_period_is_the_number_of_its_word(option: str, period: float | None) -> None:
    assert parse_period(option) == period


def test_values_are_in_the_unit_of_the_series() -> None:
    assert parse_values("1.5s and 20 ms, 3", "ms") == pytest.approx([1500, 20, 3])
    assert parse_values("null", "ms") == []


@pytest.mark.parametrize(
    ("option", "low", "high"),
    [
        ("50-60", 50, 60),
        ("60 to 50 MB", 50, 60),
        ("between 5 and 6", 5, 6),
        ("42", 42, 42),
        ("> 80", 80, INFINITY),
        ("at least 3", 3, INFINITY),
        ("below 7", -INFINITY, 7),
        ("低于7", -INFINITY, 7),
    ],
)
def test_one_forecast_value_is_an_interval(option: str, low: float, high: float) -> None:
    assert parse_intervals(option, "MB") == [Interval(low, high)]


def test_several_forecast_values_come_in_order() -> None:
    assert parse_intervals("[3, −5, 9]", "") == [Interval(3, 3), Interval(-5, -5), Interval(9, 9)]


@given(st.floats(-1e9, 1e9), st.floats(0, 1e9), st.floats(-1e9, 1e9))
def test_the_distance_from_an_interval_is_0_inside_only(low: float, size: float, value: float) -> None:
    interval = Interval(low, low + size)
    assert (interval.distance(value) == 0) == (interval.low <= value <= interval.high)
    assert interval.low <= interval.middle <= interval.high


def test_the_middle_of_an_open_interval_is_its_bound() -> None:
    assert Interval(5, INFINITY).middle == 5
    assert Interval(-INFINITY, 7).middle == 7


@pytest.mark.parametrize(
    ("options", "named"),
    [(("index 7", "none"), True), (("第8个点",), True), (("the 8th value",), True), (("8", "50"), False)],
)
def test_positions_are_named_in_words(options: tuple[str, ...], named: bool) -> None:
    assert has_positions(options) == named


@pytest.mark.parametrize(
    ("question", "options", "notation"),
    [
        ("Which is abnormal?", ("index 3", "index 5"), PointNotation(True, 0, False)),
        ("Which is abnormal?", ("第3个点", "第5个点"), PointNotation(True, 1, False)),
        ("Which is abnormal (1-based)?", ("index 3", "index 5"), PointNotation(True, 1, True)),
        ("Counting from 0, which is abnormal?", ("第3个点", "第5个点"), PointNotation(True, 0, True)),
        ("Which is abnormal?", ("50", "12", "11"), PointNotation(False, 0, False)),
        ("Which is abnormal?", ("2", "3", "6"), PointNotation(True, 0, False)),
        ("Which value is abnormal?", ("50", "8"), PointNotation(False, 0, False)),
        ("Which index is abnormal?", ("5", "3"), PointNotation(True, 0, False)),
    ],
)
def test_the_notation_of_points(question: str, options: tuple[str, ...], notation: PointNotation) -> None:
    assert detect_notation(question, options, VALUES) == notation


def test_labels_that_count_give_the_base() -> None:
    counted = Series(VALUES.values, tuple(f"t={number}" for number in range(5, 13)))
    assert detect_notation("Which is abnormal?", ("t=8", "t=9"), counted) == PointNotation(True, 5, True)


@pytest.mark.parametrize(
    ("option", "points"),
    [
        ("index 3", [3]),
        ("indices 1, 3 and 5", [1, 3, 5]),
        ("index 2-4", [2, 3, 4]),
        ("index 4 to 6", [4, 5, 6]),
        ("3", [3]),
        ("8", [-1]),
        ("index 99", [-1]),
        ("the first point", [0]),
        ("the last point", [7]),
        ("最后一个", [7]),
        ("no anomaly", None),
        ("the red one", None),
    ],
)
def test_points_by_position(option: str, points: list[int] | None) -> None:
    assert parse_points(option, BY_INDEX, VALUES, base=0) == points


def test_positions_are_counted_from_the_base() -> None:
    assert parse_points("第4个点", BY_INDEX, VALUES, base=1) == [3]
    assert parse_points("第0个点", BY_INDEX, VALUES, base=1) == [-1]


@pytest.mark.parametrize(
    ("option", "points"), [("50", [3]), ("10", [0, 2, 5]), ("50和8", [3, 7]), ("51", [-1]), ("none", None)]
)
def test_points_by_value(option: str, points: list[int] | None) -> None:
    assert parse_points(option, BY_VALUE, VALUES, base=0) == points


@pytest.mark.parametrize(
    ("option", "points"),
    [("10:03", [3]), ("10:01, 10:05", [1, 5]), ("10:02-10:04", [2, 3, 4]), ("10:02 to 10:04", [2, 3, 4])],
)
def test_points_by_time(option: str, points: list[int]) -> None:
    assert parse_points(option, BY_INDEX, TIMES, base=0) == points


@given(st.text(max_size=60) | st.text("0123456789-,至第点 ", max_size=40), st.booleans(), st.integers(-3, 9))
def test_whatever_an_option_says_its_points_are_of_the_series(option: str, by_position: bool, base: int) -> None:
    points = parse_points(option, PointNotation(by_position, base, True), TIMES, base)
    assert points is None or (points and all(-1 <= point < len(TIMES.values) for point in points))
