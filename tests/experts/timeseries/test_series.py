"""Series read out of a question's text: lists, tables and labelled values; what is no series; labels and units."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.experts.timeseries.series import LONGEST, SHORTEST, read_series
from tests.experts.timeseries.made_series import listed


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("The last 12 values: [1.5, -2, +3, 4e1, .5, 6]", [1.5, -2, 3, 40, 0.5, 6]),
        ("over 10 min: 5 6 7 8 9 10 requests", [5, 6, 7, 8, 9, 10]),
        ("2024-01-01 00:00:00, 5\n2024-01-01 00:01:00, 6\n2024-01-01 00:02:00, 7\n" * 2, [5, 6, 7, 5, 6, 7]),
        ("08:00 5.1\n08:05 5.2\n08:10 5.3\n08:15 5\n08:20 4\n08:25 3", [5.1, 5.2, 5.3, 5, 4, 3]),
        ("过去6个点的CPU使用率为5%、6%、7%、8%、9%、10%，其中", [5, 6, 7, 8, 9, 10]),
        ("1月: 120, 2月: 130, 3月: 125, 4月: 12, 5月: 140, 6月: 150", [120, 130, 125, 12, 140, 150]),
        ("第1天：5，第2天：6，第3天：7，第4天：8，第5天：9，第6天：1", [5, 6, 7, 8, 9, 1]),
        ("t=0: 5.1, t=1: 5.2, t=2: 5.3, t=3: 4, t=4: 4, t=5: 4.5", [5.1, 5.2, 5.3, 4, 4, 4.5]),
        ("{0:50,1:62,2:74,3:1,4:5,5:9}", [50, 62, 74, 1, 5, 9]),
        ("(0, 5.5), (1, 6), (2, 7), (3, 9), (4, 1), (5, 2)", [5.5, 6, 7, 9, 1, 2]),
        (
            (
                '[{"t": 0, "v": 5}, {"t": 1, "v": 6},{"t": 2, "v": 5}, '
                '{"t": 3, "v": 4}, {"t": 4, "v": 3}, {"t": 5, "v": 9}]'
            ),
            [5, 6, 5, 4, 3, 9],
        ),
        ("0 5\n1 6\n2 7\n3 9\n4 1\n5 2", [5, 6, 7, 9, 1, 2]),
        (
            (
                "| time | v |\n|---|---|\n| 1:00 | 5 |\n| 2:00 | 6 |\n| 3:00 | 5 |"
                "\n| 4:00 | 4 |\n| 5:00 | 7 |\n| 6:00 | 8 |"
            ),
            [5, 6, 5, 4, 7, 8],
        ),
        ("100,200,300,400,500,650", [100, 200, 300, 400, 500, 650]),
        ("1,200 1,300 1,100 900 1,250 1,400", [1200, 1300, 1100, 900, 1250, 1400]),
        ("a: [1,2,3,4,5,6] b: [9,8,7,6,5,4,3] 8 points", [9, 8, 7, 6, 5, 4, 3]),
        ("5, 6, null, 8, 9, 10, 11", [5, 6, 7, 8, 9, 10, 11]),
        ("800ms, 900ms, 1.1s, 700ms, 750ms, 720ms", [800, 900, 1100, 700, 750, 720]),
        ("- 5\n- 6\n- 7\n- 8\n- -9\n- 10", [5, 6, 7, 8, -9, 10]),
        (
            "1690000000,5\n1690000060,6\n1690000120,6\n1690000180,5\n1690000240,7\n1690000300,5",
            [5, 6, 6, 5, 7, 5],
        ),
    ],
)
def test_reads_a_series(text: str, values: list[float]) -> None:
    series = read_series(text)
    assert series is not None
    assert series.values.tolist() == pytest.approx(values)
    assert len(series.labels) in (0, len(values))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Which of these 3 pods failed in 2024?",
        "1, 2, 3, 4, 5",
        "10:00, 10:01, 10:02, 10:03, 10:04, 10:05, 10:06, 10:07",
        "Step 1 takes 5 minutes. Step 2 needs 3 nodes, and 4 of the 7 disks hold 2 copies each in 9 zones.",
    ],
)
def test_reads_no_series_where_there_is_none(text: str) -> None:
    assert read_series(text) is None


@given(st.lists(st.integers(-9999, 9999), min_size=SHORTEST, max_size=60), st.integers(0, 3))
def test_a_printed_list_is_read_as_it_is(values: list[int], decimals: int) -> None:
    numbers = [value / 10**decimals for value in values]
    series = read_series(f"Which value is abnormal? {listed(numbers, decimals)}")
    assert series is not None
    assert series.values.tolist() == pytest.approx(numbers)
    assert (series.labels, series.unit) == ((), "")
    assert series.resolution == pytest.approx(10**-decimals)


def test_shorter_lists_are_no_series() -> None:
    assert read_series(str(list(range(3, 3 + SHORTEST - 1)))) is None
    assert read_series(str([4] * SHORTEST)) is not None


def test_of_a_long_list_the_first_values_are_read() -> None:
    series = read_series(str([number % 7 for number in range(LONGEST + 50)]))
    assert series is not None
    assert series.values.shape == (LONGEST,)


def test_missing_values_are_interpolated_but_must_not_be_most() -> None:
    series = read_series("1, null, 3, nan, 5, 6, 7, N/A, 9")
    assert series is not None
    assert series.values.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert read_series("1, null, null, null, null, null, 7, 8, 9, 10") is None


@pytest.mark.parametrize(
    ("text", "labels", "first"),
    [
        ("t=5: 10, t=6: 11, t=7: 10, t=8: 70, t=9: 10, t=10: 11", ("t=5:", "t=6:"), 5),
        ("第1天：5，第2天：6，第3天：7，第4天：8，第5天：9，第6天：1", ("第1天：", "第2天："), 1),
        ("10:00 5\n10:05 6\n10:10 7\n10:15 8\n10:20 9\n10:25 1", ("10:00", "10:05"), None),
        ("0 5\n1 6\n2 7\n3 9\n4 1\n5 2", ("0", "1"), 0),
        ("2024-01-01T10:00:00-05:00 5, 2024-01-01T10:01:00-05:00 6, " * 3, ("2024-01-01T10:00:00-05:00",), None),
        ("5, 6, 7, 9, 1, 2", (), None),
    ],
)
def test_labels_stand_before_their_values_and_may_count(text: str, labels: tuple[str, ...], first: int | None) -> None:
    series = read_series(text)
    assert series is not None
    assert series.labels[: len(labels)] == labels
    assert series.first_label == first


def test_mixed_units_become_the_commonest() -> None:
    series = read_series("800ms, 900ms, 1.1s, 700ms, 750ms, 720ms")
    assert series is not None
    assert (series.unit, series.values[2]) == ("ms", pytest.approx(1100))


@given(st.text(max_size=300) | st.text("0123456789,.:=[]() \n-年月日点tT第", max_size=300))
def test_any_text_has_a_finite_series_or_none(text: str) -> None:
    series = read_series(text)
    if series is not None:
        assert len(series.values) >= SHORTEST
        assert np.isfinite(series.values).all()
        assert len(series.labels) in (0, len(series.values))
        assert series.resolution > 0
