"""Outliers and lasting shifts of made series, and distances that hold for any values."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coe_ray.experts.timeseries.anomalies import THRESHOLD, find_anomalies, off_majority
from coe_ray.experts.timeseries.series import Array
from tests.experts.timeseries.made_series import Base, level, rising, stepping, wave

DRAWS, LEAST = 40, 32


def draw(seed: int, base: Base, length: int = 40) -> tuple[np.random.Generator, Array]:
    rng = np.random.default_rng(seed)
    return rng, base(rng, length)


@pytest.mark.parametrize("base", [level, wave, rising])
def test_two_outliers_are_found_and_replaced(base: Base) -> None:
    def found(seed: int) -> bool:
        rng, values = draw(seed, base)
        planted = tuple(sorted(int(at) for at in rng.choice(40, 2, replace=False)))
        clean = values.copy()
        height = rng.uniform(40, 80)
        values[list(planted)] += height
        anomalies = find_anomalies(values, 0.1)
        away = np.abs(anomalies.cleaned - clean)[list(planted)]
        return set(planted) <= set(anomalies.found) and bool(np.all(away < height))

    assert sum(map(found, range(DRAWS))) >= LEAST


@pytest.mark.parametrize("base", [level, wave, rising])
def test_without_outliers_hardly_any_are_found(base: Base) -> None:
    assert sum(len(find_anomalies(draw(seed, base)[1], 0.1).found) for seed in range(DRAWS)) <= DRAWS


def test_a_lasting_shift_is_no_outlier() -> None:
    def found(seed: int) -> bool:
        rng, values = draw(seed, level)
        at = int(rng.integers(10, 30))
        values[at:] += 40
        anomalies = find_anomalies(values, 0.1)
        return anomalies.shift == at and anomalies.found == ()

    assert sum(map(found, range(DRAWS))) >= LEAST


@pytest.mark.parametrize("base", [level, rising])
def test_without_a_shift_there_is_none(base: Base) -> None:
    assert sum(find_anomalies(draw(seed, base)[1], 0.1).shift is None for seed in range(DRAWS)) >= LEAST


def test_the_minority_level_is_off() -> None:
    values = np.array([10.0, 11, 10, 50, 51, 50, 51, 50, 51, 50])
    distances = off_majority(values, 3, 1.0)
    assert distances[:3].min() > THRESHOLD > distances[3:].max()


def test_a_constant_series_has_neither() -> None:
    anomalies = find_anomalies(np.full(12, 5.0), 1.0)
    assert (anomalies.found, anomalies.shift) == ((), None)
    assert anomalies.scores.tolist() == [0] * 12


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-1e9, 1e9) | st.integers(-3, 3), min_size=6, max_size=40), st.sampled_from([1.0, 0.01]))
def test_any_values_have_scores_and_a_few_outliers(values: list[float], resolution: float) -> None:
    series = np.array(values, dtype=np.float64)
    anomalies = find_anomalies(series, resolution)
    assert anomalies.scores.shape == anomalies.cleaned.shape == (len(values),)
    assert np.isfinite(anomalies.scores).all()
    assert (anomalies.scores >= 0).all()
    assert len(anomalies.found) <= max(1, min(12, len(values) // 5))
    assert all(one < other for one, other in pairwise(anomalies.found))
    assert all(anomalies.scores[at] >= THRESHOLD for at in anomalies.found)
    kept = np.delete(np.arange(len(values)), anomalies.found)
    assert (anomalies.cleaned[kept] == series[kept]).all()
    assert series.tolist() == [float(value) for value in values]  # the caller's are left alone


def test_the_best_expectation_is_named() -> None:
    assert find_anomalies(draw(1, wave, 60)[1], 0.1).fit not in ("level", "trend")
    assert find_anomalies(draw(1, stepping)[1], 0.1).fit == "step"
