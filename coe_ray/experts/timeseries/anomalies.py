"""How far each point of a series lies from what the other points lead one to expect.

Several ways of expecting a value compete (level, trend, neighbours, smooth curve, season, waves, STL, step).
Each expects a point from the *others*, or is charged for its freedom where it sees the point itself, so the one
with the smallest median error is the honest winner: it cannot win by following the outliers.
"""

from dataclasses import dataclass

import numpy as np
from statsmodels.tsa.seasonal import STL

from coe_ray.experts.timeseries.patterns import harmonics, period_of, step_at
from coe_ray.experts.timeseries.series import Array

THRESHOLD = 4.5
"""Robust standard deviations from which a point counts: 50 normal values reach about 3, and MADs are noisy."""
PROMISING = 1.5
"""STL is slow: it is tried only where the plain season errs at most this many times more than the best."""


@dataclass(frozen=True, slots=True, eq=False)
class Anomalies:
    """Distances of the points from their expectation.

    `scores`: shape (n,), in robust standard deviations; `found`: indices (from 0) above the threshold;
    `fit`: how values were expected; `shift`: first index of a new level, where the level changes for good;
    `cleaned`: the values, shape (n,), with those found replaced by their expectations.
    """

    scores: Array
    found: tuple[int, ...]
    fit: str
    shift: int | None
    cleaned: Array


def find_anomalies(values: Array, resolution: float) -> Anomalies:
    """Peel outliers off one by one: each is replaced by its expectation, so that it spoils no neighbour."""
    cleaned = values.copy()
    period = period_of(values)
    found: dict[int, float] = {}
    scores, expected, fit = _scored(cleaned, resolution, period)
    for _ in range(max(1, min(12, len(values) // 5))):
        top = int(np.argmax(scores))
        if scores[top] < THRESHOLD or top in found:
            break
        found[top] = float(scores[top])
        cleaned[top] = expected[top]
        scores, expected, fit = _scored(cleaned, resolution, period)
    final = scores.copy()
    for at, score in found.items():
        final[at] = max(score, THRESHOLD)
    shift = _lasting_shift(cleaned, resolution, _robust_line(cleaned))
    return Anomalies(final, tuple(sorted(found)), fit, shift, cleaned)


def off_majority(values: Array, at: int, resolution: float) -> Array:
    """Distances, shape (n,), from the longer of the two levels before and after index `at`."""
    before, after = values[:at], values[at:]
    longer = before if len(before) >= len(after) else after
    scale = max(_mad(longer - np.median(longer)), 0.3 * resolution)
    return np.asarray(np.abs(values - np.median(longer)) / scale)


def _scored(values: Array, resolution: float, period: int | None) -> tuple[Array, Array, str]:
    """Scores and expectations, both (n,), of the best fit, and its name."""
    fits = _plain_fits(values, resolution)
    if period is not None:
        fits |= _seasonal_fits(values, period, fits["trend"])

    errors = _errors(values, fits)
    best = min(fits, key=errors.__getitem__)
    if period is not None and errors["season"] <= PROMISING * errors[best] and 3 * period <= len(values) <= 600:
        fits["stl"] = _stl(values, period)
        errors |= _errors(values, {"stl": fits["stl"]})
        best = min(best, "stl", key=errors.__getitem__)
    residual = values - fits[best]
    floor = max(0.3 * resolution, 1e-9 * float(np.max(np.abs(values))), 1e-300)
    return np.abs(residual) / max(_mad(residual), floor), fits[best], best


def _errors(values: Array, fits: dict[str, Array]) -> dict[str, float]:
    """Median absolute error of each fit."""
    medians = np.median(np.abs(values - np.stack(list(fits.values()))), axis=1)
    return dict(zip(fits, medians.tolist(), strict=True))


def _mad(residual: Array) -> float:
    """Robust standard deviation: median absolute value, scaled to agree with the normal distribution."""
    return 1.4826 * float(np.median(np.abs(residual)))


def _plain_fits(values: Array, resolution: float) -> dict[str, Array]:
    """Expectations, shape (n,) each, that know of no season."""
    line = _robust_line(values)
    fits = {
        "level": np.full(len(values), float(np.median(values))),
        "trend": line,
        "neighbours": line + _neighbour_median(values - line),
        "curve": _from_neighbours(values),
    }
    if bool(np.all(values > 0)):
        fits["growth"] = np.exp(np.clip(_from_neighbours(np.log(values)), -300.0, 160.0))
    shift = _lasting_shift(values, resolution, line)
    if shift is not None:
        halves = (values[:shift], values[shift:])
        fits["step"] = np.concatenate([np.full(len(half), np.median(half)) for half in halves])
    return fits


def _seasonal_fits(values: Array, period: int, line: Array) -> dict[str, Array]:
    fits = {"season": line + _phase_median(values - line, period)}
    at = np.arange(len(values), dtype=np.float64)
    for count in (1, 2):
        if 2 * count < period and len(values) >= 6 * count + 6:
            design = np.column_stack([harmonics(at, period, count), at / len(at)])
            fits[f"waves of order {count}"] = _robust_projection(design, values)
    return fits


def _stl(values: Array, period: int) -> Array:
    """Trend and season of robust STL with a fixed season."""
    stl = STL(values, period=period, seasonal=10 * len(values) + 1, seasonal_deg=0, robust=True)
    fit = stl.fit(inner_iter=1, outer_iter=6)
    return _charged(values, np.asarray(fit.trend + fit.seasonal), period + len(values) / (1.5 * period))


def _charged(values: Array, fitted: Array, freedom: float) -> Array:
    """`fitted` moved away from the values as if each had been left out of a fit with `freedom` parameters."""
    n = len(values)
    return np.asarray(values - (values - fitted) * n / max(n - freedom, 0.2 * n))


def _robust_projection(design: Array, values: Array) -> Array:
    """Least squares with bisquare weights, a few rounds of it."""
    weights = np.ones(len(values))
    fitted = values
    for _ in range(4):
        root = np.sqrt(weights)
        fitted = design @ np.linalg.lstsq(design * root[:, None], values * root, rcond=None)[0]
        scale = _mad(values - fitted)
        if not scale > 0:
            break
        weights = np.clip(1 - ((values - fitted) / (4.7 * scale)) ** 2, 0.0, 1.0) ** 2
    return _charged(values, np.asarray(fitted), design.shape[1])


def _robust_line(values: Array) -> Array:
    """Theil-Sen line, shape (n,); on at most 300 evenly spaced points, as it takes all pairs."""
    at = np.arange(len(values), dtype=np.float64)
    stride = -(-len(values) // 300)
    thin, times = values[::stride], at[::stride]
    first, second = np.triu_indices(len(thin), 1)
    slope = float(np.median((thin[second] - thin[first]) / (times[second] - times[first])))
    return np.asarray(np.median(values - slope * at) + slope * at)


def _neighbour_median(values: Array, reach: int = 3) -> Array:
    """Median of the `reach` values on either side, without the value itself."""
    padded = np.pad(values, reach, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    return np.asarray(np.median(np.delete(windows, reach, axis=1), axis=1))


def _from_neighbours(values: Array) -> Array:
    """Cubic interpolation from two values on either side; the ends continue in a line."""
    expected = np.empty_like(values)
    expected[2:-2] = (-values[:-4] + 4 * values[1:-3] + 4 * values[3:-1] - values[4:]) / 6
    expected[[1, -2]] = (values[[0, -3]] + values[[2, -1]]) / 2
    expected[[0, -1]] = 2 * values[[1, -2]] - values[[2, -3]]
    return expected


def _phase_median(values: Array, period: int) -> Array:
    """Median of the other values of the same phase, a period or more away."""
    expected = np.empty_like(values)
    for phase in range(period):
        same = values[phase::period]
        m = len(same)
        others = np.broadcast_to(same, (m, m))[~np.eye(m, dtype=np.bool_)].reshape(m, m - 1)
        expected[phase::period] = np.median(others, axis=1)
    return expected


def _lasting_shift(values: Array, resolution: float, line: Array) -> int | None:
    """Where the level changes for good: by three deviations, far beyond chance, and not along `line`."""
    if len(values) < 8:
        return None
    at, jump, spread = step_at(values)
    spread = max(spread, 0.3 * resolution)
    before, after = at, len(values) - at
    chance = abs(jump) / spread / np.sqrt(1 / before + 1 / after)
    if abs(jump) < 3 * spread or chance < 6:
        return None
    return at if float(np.median(np.abs(values - line))) > 0.8 * spread else None
