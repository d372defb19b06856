"""Of what others counted only what can be a count is believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.calls.counts import MOST, is_count, usage_in
from coe_ray.types import Usage


@given(value=st.integers())
def test_a_count_is_a_whole_number_of_31_bits(value: int) -> None:
    assert is_count(value) == (0 <= value < MOST)


@pytest.mark.parametrize("value", [True, False, None, 7.0, "7", [7], {}, -1, MOST, 2**63])
def test_what_is_no_count_is_none(value: object) -> None:
    assert not is_count(value)
    assert usage_in({"prompt_tokens": value, "completion_tokens": 2}) == Usage(0, 2)


@pytest.mark.parametrize("told", [None, 7, "7", [], {}, {"total_tokens": 7}])
def test_what_is_no_usage_counts_nothing(told: object) -> None:
    assert usage_in(told) == Usage()
