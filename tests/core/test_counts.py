"""Of what others counted only what can be a count is believed."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.core.counts import MAX_COUNT, is_count, parse_token_logprobs, parse_usage
from coe_ray.core.types import Usage


@given(value=st.integers())
def test_a_count_is_a_whole_number_of_31_bits(value: int) -> None:
    assert is_count(value) == (0 <= value < MAX_COUNT)


@pytest.mark.parametrize("value", [True, False, None, 7.0, "7", [7], {}, -1, MAX_COUNT, 2**63])
def test_what_is_no_count_is_none(value: object) -> None:
    assert not is_count(value)
    assert parse_usage({"prompt_tokens": value, "completion_tokens": 2}) == Usage(0, 2)


@pytest.mark.parametrize("usage", [None, 7, "7", [], {}, {"total_tokens": 7}])
def test_what_is_no_usage_counts_nothing(usage: object) -> None:
    assert parse_usage(usage) == Usage()


def test_tokens_come_likeliest_first_and_equals_in_their_order() -> None:
    alternatives = [["B", -2.0], ("A", -1), ["C", -2], ["D", 0], ["E", -0.0]]
    assert parse_token_logprobs(alternatives) == (("D", 0.0), ("E", 0.0), ("A", -1.0), ("B", -2.0), ("C", -2.0))


@pytest.mark.parametrize(
    "pair",
    [
        *("AB", ["A"], ["A", -1.0, 2], [], None, 5, {"A": -1.0}, {"token": "A", "logprob": -1.0}),
        *([5, -1.0], [None, -1.0], [b"A", -1.0], [["A"], -1.0]),
        *(["A", 0.5], ["A", "-1"], ["A", None], ["A", False], ["A", [-1.0]], ["A", math.nan], ["A", math.inf]),
    ],
    ids=lambda pair: str(pair)[:20],
)
def test_a_pair_that_is_no_token_is_left_out(pair: object) -> None:
    assert parse_token_logprobs([pair, ["B", -1.0]]) == (("B", -1.0),)


@pytest.mark.parametrize("alternatives", [None, 7, "AB", {}, {"A": -1.0}, [], (), True, -1.0])
def test_what_is_no_list_has_no_tokens(alternatives: object) -> None:
    assert parse_token_logprobs(alternatives) == ()


@given(st.lists(st.tuples(st.text(max_size=3), st.floats(max_value=0)), max_size=5))
def test_tokens_that_were_read_are_read_again_as_they_are(alternatives: list[tuple[str, float]]) -> None:
    read = parse_token_logprobs(alternatives)
    assert sorted(read) == sorted(alternatives)
    assert parse_token_logprobs(read) == parse_token_logprobs([list(pair) for pair in read]) == read
