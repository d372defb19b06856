"""Claims in an option's words, English and Chinese, and what a claim costs against fitted models."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.experts.timeseries.concepts import LONGEST_CLAIM, Claim, cost, read_claim
from coe_ray.experts.timeseries.patterns import KINDS, Fit


@pytest.mark.parametrize(
    ("option", "meanings", "denied"),
    [
        ("Upward shift", [{"shift", "up"}], set()),
        ("steady growth", [{"trend", "up"}], set()),
        ("上升趋势且有周期性", [{"trend", "up", "seasonal"}], set()),
        ("非平稳", [], {"stable"}),
        ("no obvious trend", [], {"trend"}),
        ("无周期性的随机游走", [{"walk"}], {"seasonal"}),
        ("increasing variance", [{"variance", "wider"}], set()),
        ("先升后降", [{"hump"}], set()),
        ("突增", [{"shift", "up"}, {"spike", "up"}], set()),
        ("指数增长", [{"trend", "up", "exponential"}], set()),
    ],
)
def test_reads_claims(option: str, meanings: list[set[str]], denied: set[str]) -> None:
    claim = read_claim(option)
    assert claim is not None
    assert list(map(set, claim.meanings)) == meanings
    assert claim.denied == denied


@pytest.mark.parametrize("option", ["", "index 7", "42", "the red one", "第3个点", "MB/s"])
def test_words_without_a_pattern_claim_nothing(option: str) -> None:
    assert read_claim(option) is None


def test_what_stands_beyond_the_longest_claim_is_not_read() -> None:
    assert read_claim("x " * LONGEST_CLAIM + "seasonal") is None
    assert read_claim("seasonal " + "x " * LONGEST_CLAIM) == Claim((frozenset({"seasonal"}),))


WORDS = ("no", "not", "up", "down", "无", "非", "周期", "趋势", "平稳", "shift", "spike")


@given(st.text(max_size=100) | st.lists(st.sampled_from(WORDS)).map(" ".join))
def test_any_words_have_a_bounded_claim_or_none(text: str) -> None:
    claim = read_claim(text)
    if claim is not None:
        assert len(claim.meanings) <= 16
        assert claim.meanings or claim.denied
        assert claim.denied <= KINDS


def fit(tags: str, bic: float) -> Fit:
    return Fit(frozenset(tags.split()), bic, tags)


def claim(*meanings: str, denied: str = "") -> Claim:
    return Claim(tuple(frozenset(tags.split()) for tags in meanings), frozenset(denied.split()))


FITS = [fit("trend up linear", 10.0), fit("seasonal", 20.0), fit("seasonal trend up", 5.0), fit("stable", 40.0)]


def test_a_claim_that_agrees_with_a_better_model_costs_less() -> None:
    up, season, flat = (cost(claim(tags), FITS, 0.5) for tags in ("trend up", "seasonal", "stable"))
    assert up < season < flat


def test_a_claim_that_no_model_agrees_with_costs_everything() -> None:
    assert math.isinf(cost(claim("trend down"), FITS, 0.5))
    assert math.isinf(cost(claim("spike"), FITS, 0.5))
    assert math.isinf(cost(claim(denied="trend seasonal stable"), FITS, 0.5))


def test_a_model_with_more_to_it_costs_extra() -> None:
    exact = cost(claim("seasonal trend"), FITS, 0.5)
    assert exact == pytest.approx(5, abs=0.1)
    assert exact < cost(claim("trend"), FITS, 0.5) <= 5 + 8 + 0.1


def test_of_alternatives_the_cheapest_counts_and_denied_kinds_are_left_out() -> None:
    assert cost(claim("stable", "trend up"), FITS, 0.5) == cost(claim("trend up"), FITS, 0.5)
    assert cost(claim(denied="seasonal"), FITS, 0.5) == 10
    assert cost(claim(denied="trend"), FITS, 0.5) == 20


def test_constant_and_noise_differ_by_the_spread() -> None:
    constant, noise = claim("stable"), claim("stable noise")
    assert cost(constant, FITS, 0.001) < cost(noise, FITS, 0.001)
    assert cost(noise, FITS, 0.5) < cost(constant, FITS, 0.5)
