"""Forecasts: each kind of series is continued by a fitting method, and any values have finite ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coe_ray.experts.timeseries.forecasts import FURTHEST, forecast
from tests.experts.timeseries.made_series import Base, growing, level, rising, wave


@pytest.mark.parametrize(
    ("past", "future"),
    [
        ([2, 4, 6, 8, 10, 12, 14], [16, 18]),
        ([5] * 8, [5, 5]),
        ([1, 2, 4, 8, 16, 32, 64, 128], [256, 512]),
        ([3, 5, 9] * 4, [3, 5, 9, 3]),
        ([1, 4, 9, 16, 25, 36, 49, 64], [81, 100]),
    ],
)
def test_a_rule_is_continued(past: list[float], future: list[float]) -> None:
    ahead = forecast(np.array(past, dtype=np.float64), len(future))
    assert ahead.values.tolist() == pytest.approx(future, rel=0.02)
    assert ahead.error == pytest.approx(0, abs=0.05 * max(past))


@pytest.mark.parametrize("base", [wave, rising, growing])
def test_a_noisy_pattern_is_forecast_better_than_by_its_mean(base: Base) -> None:
    def errors(seed: int) -> tuple[float, float]:
        values = base(np.random.default_rng(seed), 60)
        past, future = values[:-4], values[-4:]
        return float(np.abs(forecast(past, 4).values - future).mean()), float(np.abs(past.mean() - future).mean())

    ours, means = np.array([errors(seed) for seed in range(12)]).mean(axis=0)
    assert ours < 0.6 * means


def test_noise_around_a_level_is_forecast_near_the_level() -> None:
    for seed in range(12):
        values = level(np.random.default_rng(seed), 60)
        assert np.abs(forecast(values, 4).values - values.mean()).max() < 3 * values.std()


@pytest.mark.parametrize(("steps", "count"), [(0, 1), (1, 1), (7, 7), (FURTHEST, FURTHEST), (1000, FURTHEST)])
def test_at_most_the_furthest_steps_are_forecast(steps: int, count: int) -> None:
    assert forecast(np.arange(12, dtype=np.float64), steps).values.shape == (count,)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-1e9, 1e9) | st.integers(-2, 2), min_size=6, max_size=40), st.integers(1, 8))
def test_any_values_have_a_finite_forecast(values: list[float], steps: int) -> None:
    ahead = forecast(np.array(values, dtype=np.float64), steps)
    assert ahead.values.shape == (steps,)
    assert np.isfinite(ahead.values).all()
    assert ahead.error >= 0
    assert ahead.method
