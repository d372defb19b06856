"""Numbers as people print them: sign, unit, thousands, missing values, and units of one family."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.experts.timeseries.numerals import LARGEST, NUMBER, numbers_in, rescaled


def test_numbers_carry_sign_unit_and_thousands() -> None:
    found = [(n.value, n.unit) for n in numbers_in("-1,234.5 MB, 7% and 3e2ms, v2 and x_1")]
    assert found == [(-1234.5, "MB"), (7.0, "%"), (300.0, "ms")]


def test_minus_may_be_typographic_and_words_stand_for_missing_values() -> None:
    values = [number.value for number in numbers_in("−3, null, NaN, n/a, None, 4")]
    assert values[0] == -3
    assert [math.isnan(value) for value in values] == [False, True, True, True, True, False]


def test_a_comma_separates_where_thousands_are_not_read() -> None:
    assert [number.value for number in numbers_in("1,234", NUMBER)] == [1, 234]
    assert [number.value for number in numbers_in("1,234")] == [1234]
    assert [number.value for number in numbers_in("1,2345")] == [1, 2345]


@pytest.mark.parametrize(
    ("text", "decimals"), [("12", 0), ("1.50", 2), (".25", 2), ("3e2", -2), ("1.5e-3", 4), ("1,234.5", 1)]
)
def test_decimals_are_those_that_are_printed(text: str, decimals: int) -> None:
    [number] = numbers_in(text)
    assert number.decimals == decimals


@pytest.mark.parametrize("text", ["v2", "x_1", "a.5", "IPv4", "x86_64"])
def test_digits_of_a_name_are_no_number(text: str) -> None:
    assert numbers_in(text) == []


def test_a_number_beyond_all_measure_counts_as_missing() -> None:
    assert math.isnan(numbers_in("1e61")[0].value)
    assert math.isnan(numbers_in("9" * 400)[0].value)
    assert numbers_in("1e59")[0].value == 1e59


@given(st.integers(-(10**12), 10**12), st.integers(0, 4), st.sampled_from(["", "%", "ms", "MB", "次/秒", "万"]))
def test_a_printed_number_is_read_with_its_unit_and_place(value: int, decimals: int, unit: str) -> None:
    printed = f"{value / 10**decimals:.{decimals}f}{unit}"
    [number] = numbers_in(f"about {printed}!")
    assert number.value == pytest.approx(value / 10**decimals)
    assert (number.unit, number.decimals, number.start, number.end) == (unit, decimals, 6, 6 + len(printed))


@given(st.text(max_size=80))
def test_numbers_of_any_text_are_in_order_and_bounded(text: str) -> None:
    numbers = numbers_in(text)
    assert all(one.end <= other.start for one, other in pairwise(numbers))
    assert all(math.isnan(number.value) or abs(number.value) <= LARGEST for number in numbers)


@pytest.mark.parametrize(
    ("value", "unit", "base", "result"),
    [
        (1.5, "s", "ms", 1500),
        (90, "s", "min", 1.5),
        (2, "GiB", "MiB", 2048),
        (3, "k", "", 3000),
        (1.2, "万", "", 12_000),
        (7, "%", "ms", 7),  # not of one family
        (900, "", "MB", 900),  # a bare number beside bytes
    ],
)
def test_units_of_one_family_are_converted(value: float, unit: str, base: str, result: float) -> None:
    assert rescaled(value, unit, base) == pytest.approx(result)
