"""Which simple model a series follows: each kind of pattern is a model, and they compete by BIC.

One yardstick for all patterns (Gaussian log likelihood less a price for every parameter, Schwarz 1978) replaces
a threshold for each. The variance has a floor at the rounding error, so that series without noise compare too.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from statsmodels.tsa.stattools import acf

from coe_ray.experts.timeseries.series import Array

KINDS = frozenset({"stable", "trend", "seasonal", "shift", "spike", "walk", "variance", "hump", "valley"})
"""The tags that say what kind of pattern a model is; other tags say which way or shape."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A model fitted to the series: its tags, its BIC (smaller is better) and a note with its numbers."""

    tags: frozenset[str]
    bic: float
    note: str

    @property
    def kinds(self) -> frozenset[str]:
        return self.tags & KINDS


@dataclass(frozen=True, slots=True, eq=False)
class _Data:
    """Values and times of the points that a model must explain; `floor` bounds the variance from below."""

    values: Array
    at: Array
    floor: float

    def bic(self, residual: Array, parameters: int) -> float:
        n = len(self.values)
        variance = max(float(np.mean(residual**2)), self.floor)
        return float(n * np.log(variance) + parameters * np.log(n))


def fit_patterns(values: Array, resolution: float, outliers: tuple[int, ...] = ()) -> list[Fit]:
    """Every model's fit to `values`, shape (n,), best first; with `outliers`, also without these points."""
    floor = variance_floor(values, resolution)
    at = np.arange(len(values), dtype=np.float64)
    data = _Data(values, at, floor)
    period = season_length(values)
    fits = [*_smooth(data), *_seasonal(data, period), *_shift(data), *_walk(data), *_variance(data)]
    if outliers and len(outliers) <= max(1, len(values) // 6):
        fits += _spiky(data, outliers, period)
    return sorted(fits, key=lambda fit: fit.bic)


def variance_floor(values: Array, resolution: float) -> float:
    """Variance of rounding to `resolution`, or of floating point where that is larger."""
    return float(max(resolution**2 / 12, (1e-9 * float(np.max(np.abs(values)))) ** 2, 1e-200))


def _project(design: Array, values: Array) -> tuple[Array, Array]:
    """Least squares: residuals (n,) and coefficients (k,) for a `design` of shape (n, k)."""
    coefficients = np.linalg.lstsq(design, values, rcond=None)[0]
    return np.asarray(values - design @ coefficients), np.asarray(coefficients)


def _way(change: float) -> str:
    return "up" if change > 0 else "down"


def _smooth(data: _Data) -> Iterator[Fit]:
    """Constant, line, exponential, and a parabola that turns within the series."""
    n, unit = len(data.values), data.at / max(1.0, data.at[-1])
    one = np.ones(n)
    yield Fit(frozenset({"stable"}), data.bic(data.values - np.mean(data.values), 1), "constant level")
    residual, line = _project(np.stack([one, unit], axis=1), data.values)
    slope = float(line[1]) / max(1.0, data.at[-1])
    tags = {"trend", "linear", _way(slope)}
    yield Fit(frozenset(tags), data.bic(residual, 2), f"linear trend of {slope:.3g} a step")
    yield _exponential(data, unit)
    residual, bow = _project(np.stack([one, unit, unit**2], axis=1), data.values)
    if bow[2] and 0.2 < -bow[1] / (2 * bow[2]) < 0.8:
        turn = "hump" if bow[2] < 0 else "valley"
        yield Fit(frozenset({turn}), data.bic(residual, 3), f"{turn} around a turning point")


def _exponential(data: _Data, unit: Array) -> Fit:
    """a + b·exp(c·t) over a grid of c, t in [0, 1]; small |c| is left to the line."""
    sizes = np.geomspace(1.0, 25.0, 22)
    rates = np.concatenate([sizes, -sizes])
    # Shifted so that no exponential exceeds one: the largest is at the end or at the start.
    curves = np.exp(rates[:, None] * (unit - (rates > 0)[:, None]))
    curves -= curves.mean(axis=1, keepdims=True)
    centred = data.values - data.values.mean()
    weights = curves @ centred / np.sum(curves**2, axis=1)
    residuals = centred - weights[:, None] * curves
    best = int(np.argmin(np.sum(residuals**2, axis=1)))
    tags = _exponential_tags(data.values - residuals[best], float(rates[best]))
    note = f"exponential with rate {rates[best] / max(1.0, data.at[-1]):.2g} a step"
    return Fit(tags, data.bic(residuals[best], 3), note)


def _exponential_tags(fitted: Array, rate: float) -> frozenset[str]:
    """Growing, or decaying to a level, are the textbook exponentials; the others bend the other way."""
    way = _way(float(fitted[-1] - fitted[0]))
    shape = {("up", True): "exponential", ("down", False): "exponential", ("up", False): "saturating"}
    return frozenset({"trend", way, shape.get((way, rate > 0), "accelerating")})


def _shift(data: _Data) -> Iterator[Fit]:
    """Two levels; the place of the step costs as much as two more parameters, being searched for."""
    if len(data.values) < 8:
        return
    at, jump, _ = step_at(data.values)
    residual = data.values - np.where(data.at < at, data.values[:at].mean(), data.values[at:].mean())
    yield Fit(frozenset({"shift", _way(jump)}), data.bic(residual, 4), f"level shift of {jump:.4g} at index {at}")


def step_at(values: Array) -> tuple[int, float, float]:
    """The step that leaves least variance: first index of the new level, height, standard deviation around it.

    Each level has at least three values; `values` has at least six.
    """
    n = len(values)
    centred = values - values.mean()
    before = np.arange(3, n - 2)
    sums = np.cumsum(centred)[2 : n - 3]
    gain = sums**2 * (1 / before + 1 / (n - before))
    at = int(before[int(np.argmax(gain))])
    jump = float(values[at:].mean() - values[:at].mean())
    residual = np.concatenate([values[:at] - values[:at].mean(), values[at:] - values[at:].mean()])
    return at, jump, float(np.sqrt(np.mean(residual**2)))


def _walk(data: _Data) -> Iterator[Fit]:
    """Random walk: the differences are the noise. The first value is a parameter."""
    steps = np.diff(data.values)
    variance = max(float(np.mean(steps**2)), data.floor)
    bic = (len(steps) + 1) * np.log(variance) + np.log(len(steps) + 1)
    yield Fit(frozenset({"walk"}), float(bic), f"random walk with steps of {np.sqrt(variance):.3g}")


def _variance(data: _Data) -> Iterator[Fit]:
    """One level, two variances; at least a fifth of the values on either side."""
    n = len(data.values)
    least = max(5, n // 5)
    if n < 2 * least:
        return
    squares = (data.values - np.median(data.values)) ** 2
    splits = np.arange(least, n - least + 1)
    sums = np.cumsum(squares)[splits - 1]
    firsts = np.maximum(sums / splits, data.floor)
    seconds = np.maximum((squares.sum() - sums) / (n - splits), data.floor)
    costs = splits * np.log(firsts) + (n - splits) * np.log(seconds)
    k = int(np.argmin(costs))
    first, second = float(firsts[k]), float(seconds[k])
    tags = {"variance", "wider" if second > first else "narrower"}
    note = f"standard deviation from {np.sqrt(first):.3g} to {np.sqrt(second):.3g} at index {splits[k]}"
    yield Fit(frozenset(tags), float(costs[k] + 5 * np.log(n)), note)


def _seasonal(data: _Data, period: float | None) -> Iterator[Fit]:
    """Season alone, and season on a line."""
    if period is None:
        return
    note = f"season of period {period:.4g}"
    for design in _season_designs(data.at, period):
        parameters = design.shape[1]
        residual, _ = _project(design, data.values)
        yield Fit(frozenset({"seasonal"}), data.bic(residual, parameters + 1), note)
        both = np.column_stack([design, data.at / max(1.0, data.at[-1])])
        residual, coefficients = _project(both, data.values)
        tags = frozenset({"seasonal", "trend", _way(float(coefficients[-1]))})
        yield Fit(tags, data.bic(residual, parameters + 2), f"{note} on a trend")


def _season_designs(at: Array, period: float) -> Iterator[Array]:
    """One to three harmonics, and (for whole periods seen twice or more) a mean for each phase."""
    for count in range(1, 4):
        if 2 * count < period and 2 * count + 4 < len(at):
            yield harmonics(at, period, count)
    whole = round(period)
    if abs(period - whole) < 0.15 and len(at) >= 2 * whole + 2:
        yield np.asarray(at[:, None] % whole == np.arange(whole), dtype=np.float64)


def harmonics(at: Array, period: float, count: int) -> Array:
    """A constant and `count` pairs of sine and cosine at times `at`: shape (n, 1 + 2·count)."""
    angles = 2 * np.pi * np.outer(at, np.arange(1, count + 1)) / period
    return np.column_stack([np.ones(len(at)), np.sin(angles), np.cos(angles)])


def _spiky(data: _Data, outliers: tuple[int, ...], period: float | None) -> Iterator[Fit]:
    """The level, line and season models with each outlier's place and size as two parameters more."""
    rest = np.delete(np.arange(len(data.values)), outliers)
    part = _Data(data.values[rest], data.at[rest], data.floor)
    scale, price = len(data.values) / len(rest), 2 * len(outliers) * np.log(len(data.values))
    spikes = data.values[list(outliers)]
    way = _way(float(np.sum(spikes - np.median(part.values))))
    for fit in (*_smooth(part), *_seasonal(part, period)):
        kinds = (fit.tags - {"up", "down", "stable"}) | {"spike", way}
        if not fit.tags & {"hump", "valley", "exponential", "saturating", "accelerating"}:
            note = f"spikes at index {', '.join(map(str, outliers))} on a {fit.note}"
            yield Fit(kinds, float(fit.bic * scale + price), note)


def season_length(values: Array) -> float | None:
    """The period, in steps, not rounded, of the strongest season seen at least twice; `None`: none stands out.

    The whole period comes from autocorrelation, which harmonics do not mislead, and is refined by harmonics.
    """
    whole = period_of(values)
    if whole is None:
        return None
    at, line = np.arange(len(values), dtype=np.float64), _detrended(values)
    if whole < 4:
        return float(whole)
    count = 1 if whole < 6 else 2
    reach = max(0.6, 0.15 * whole)  # autocorrelation of few cycles is off by about as much
    near = [period for period in whole + np.linspace(-reach, reach, 33) if period <= len(values) / 2 + 0.6]
    errors = [float(np.sum(_project(harmonics(at, period, count), line)[0] ** 2)) for period in near]
    return float(near[int(np.argmin(errors))])


def period_of(values: Array) -> int | None:
    """The lag from 2 to n/2 at which the detrended, clipped series resembles itself most; `None`: at none."""
    n = len(values)
    rest = _detrended(values)
    spread = 1.4826 * float(np.median(np.abs(rest - np.median(rest))))
    if n < 8 or not spread > 1e-9 * float(np.max(np.abs(values))):
        return None
    # Clipped, so that two outliers do not look like a season.
    rest = np.clip(rest, np.median(rest) - 3 * spread, np.median(rest) + 3 * spread)
    likeness = np.asarray(acf(rest, adjusted=True, nlags=n // 2 + 1, fft=True))
    peaks = [
        lag
        for lag in range(2, n // 2 + 1)
        if likeness[lag] >= likeness[lag - 1] and likeness[lag] >= likeness[min(lag + 1, len(likeness) - 1)]
    ]
    least = max(0.25, 2.2 / np.sqrt(n))
    strong = [lag for lag in peaks if likeness[lag] > least]
    if not strong:
        return None
    top = max(float(likeness[lag]) for lag in strong)
    return min(lag for lag in strong if likeness[lag] >= 0.85 * top)


def _detrended(values: Array) -> Array:
    at = np.linspace(-1.0, 1.0, len(values))
    return _project(np.stack([np.ones(len(values)), at], axis=1), values)[0]
