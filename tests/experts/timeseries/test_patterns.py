"""Models of patterns that compete by BIC: the right one wins on made series; steps, seasons and their length."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coe_ray.experts.timeseries.patterns import (
    KINDS,
    fit_patterns,
    harmonics,
    period_of,
    season_length,
    step_at,
    variance_floor,
)
from coe_ray.experts.timeseries.series import Array
from tests.experts.timeseries.made_series import (
    Base,
    decaying,
    falling,
    growing,
    level,
    rising,
    stepping,
    stepping_down,
    walking,
    wave,
    widening,
)

DRAWS, LEAST = 40, 32


@pytest.mark.parametrize(
    ("base", "tags"),
    [
        (level, {"stable"}),
        (wave, {"seasonal"}),
        (rising, {"trend", "up"}),
        (falling, {"trend", "down"}),
        (growing, {"trend", "up", "exponential"}),
        (decaying, {"trend", "down", "exponential"}),
        (stepping, {"shift", "up"}),
        (stepping_down, {"shift", "down"}),
        (walking, {"walk"}),
        (widening, {"variance", "wider"}),
    ],
)
def test_the_right_model_wins(base: Base, tags: set[str]) -> None:
    def wins(seed: int) -> bool:
        return tags <= fit_patterns(base(np.random.default_rng(seed), 60), 0.1)[0].tags

    assert sum(map(wins, range(DRAWS))) >= LEAST


def test_outliers_that_are_known_are_spikes() -> None:
    values = level(np.random.default_rng(0), 40)
    values[[7, 30]] += 60
    best = fit_patterns(values, 0.1, (7, 30))[0]
    assert {"spike", "up"} <= best.tags
    assert best.note.startswith("spikes at index 7, 30 on a ")
    assert not any("spike" in fit.tags for fit in fit_patterns(values, 0.1))


def test_too_many_outliers_are_no_spikes() -> None:
    values = level(np.random.default_rng(0), 40)
    assert not any("spike" in fit.tags for fit in fit_patterns(values, 0.1, tuple(range(7))))


@pytest.mark.parametrize(("sign", "tag"), [(1, "hump"), (-1, "valley")])
def test_a_turn_within_the_series_is_a_hump_or_a_valley(sign: int, tag: str) -> None:
    at = np.linspace(-1, 1, 40)
    values = 100 - sign * 50 * at**2 + np.random.default_rng(0).normal(0, 0.5, 40)
    smooth = [fit for fit in fit_patterns(values, 0.1) if fit.kinds & {"hump", "valley", "trend", "stable"}]
    assert smooth[0].kinds == {tag}


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-1e9, 1e9) | st.integers(-2, 2), min_size=6, max_size=40))
def test_any_values_have_models_best_first(values: list[float]) -> None:
    fits = fit_patterns(np.array(values, dtype=np.float64), 1.0)
    costs = [fit.bic for fit in fits]
    assert costs == sorted(costs)
    assert all(map(math.isfinite, costs))
    assert all(fit.kinds and fit.kinds <= KINDS and fit.note for fit in fits)
    assert {"stable", "trend", "walk"} <= {kind for fit in fits for kind in fit.kinds}


def test_the_step_is_where_the_level_changes() -> None:
    at, jump, spread = step_at(np.array([1.0, 1, 1, 1, 5, 5, 5]))
    assert (at, jump, spread) == (4, 4, 0)


@given(st.integers(3, 20), st.integers(3, 20), st.floats(1, 1e6), st.sampled_from([-1, 1]))
def test_any_clean_step_is_found(before: int, after: int, height: float, sign: int) -> None:
    at, jump, spread = step_at(np.array([7.0] * before + [7.0 + sign * height] * after))
    assert at == before
    assert jump == pytest.approx(sign * height)
    assert spread == pytest.approx(0, abs=1e-6 * height)


@pytest.mark.parametrize("period", [2, 3, 4, 7, 12, 15])
def test_the_period_of_a_repeated_pattern(period: int) -> None:
    pattern = np.random.default_rng(period).permutation(period).astype(np.float64) * 10
    assert period_of(np.tile(pattern, 60 // period)) == period


def test_a_season_between_two_whole_steps_is_refined() -> None:
    assert season_length(np.sin(2 * np.pi * np.arange(80) / 12.4)) == pytest.approx(12.4, abs=0.15)


@pytest.mark.parametrize("values", [np.full(20, 5.0), np.arange(20.0), np.arange(7.0)])
def test_without_a_season_there_is_no_length(values: Array) -> None:
    assert period_of(values) is None
    assert season_length(values) is None


def test_harmonics_repeat_after_a_period() -> None:
    columns = harmonics(np.arange(20, dtype=np.float64), 5.0, 2)
    assert columns.shape == (20, 5)
    assert np.allclose(columns[:15], columns[5:])
    assert (columns[:, 0] == 1).all()


def test_the_variance_is_at_least_that_of_rounding() -> None:
    assert variance_floor(np.zeros(3), 0.1) == pytest.approx(0.01 / 12)
    assert variance_floor(np.array([1e9]), 1e-6) == pytest.approx(1.0)
    assert variance_floor(np.zeros(3), 0.0) > 0
