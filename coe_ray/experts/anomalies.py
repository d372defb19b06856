"""How far each point of a series lies from what the other points lead one to expect.

Several ways of expecting a value compete (level, trend, neighbours, smooth curve, season, STL, step). Each expects a
point from the *others*, so the one with the smallest median error is the honest winner: it cannot win by following
the outliers.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats
from statsmodels.tsa.seasonal import STL

from coe_ray.experts.patterns import period_of, step_at
from coe_ray.experts.series import Array

THRESHOLD = 4.5
"""Robust standard deviations from which a point counts: the largest of 50 normal values is near 3, MADs are noisy."""
STL_PENALTY = 1.5
"""STL sees the point itself, the other fits do not: its median error is too small by about this factor."""


@dataclass(frozen=True, slots=True, eq=False)
class Anomalies:
    """Distances of the points from their expectation.

    `scores`: shape (n,), in robust standard deviations; `found`: indices (from 0) above the threshold, ascending;
    `fit`: how values were expected; `shift`: first index of a new level, where the level changes for good.
    """

    scores: Array
    found: tuple[int, ...]
    fit: str
    shift: int | None
    cleaned: Array


def find_anomalies(values: Array, resolution: float) -> Anomalies:
    """Peel outliers off one by one: each is replaced by its expectation, so that it spoils none of its neighbours."""
    cleaned = values.copy()
    found: dict[int, float] = {}
    scores, expected, fit = _scored(cleaned, resolution)
    for _ in range(max(1, min(12, len(values) // 5))):
        top = int(np.argmax(scores))
        if scores[top] < THRESHOLD or top in found:
            break
        found[top] = float(scores[top])
        cleaned[top] = expected[top]
        scores, expected, fit = _scored(cleaned, resolution)
    final = scores.copy()
    for at, score in found.items():
        final[at] = max(score, THRESHOLD)
    shift = _lasting_shift(cleaned, resolution)
    return Anomalies(final, tuple(sorted(found)), fit, shift, cleaned)


def off_majority(values: Array, at: int, resolution: float) -> Array:
    """Distances, shape (n,), from the longer of the two levels before and after index `at`."""
    before, after = values[:at], values[at:]
    longer = before if len(before) >= len(after) else after
    scale = max(_mad(longer - np.median(longer)), 0.3 * resolution)
    return np.asarray(np.abs(values - np.median(longer)) / scale)


def _scored(values: Array, resolution: float) -> tuple[Array, Array, str]:
    """Scores and expectations, both (n,), of the best fit, and its name."""
    fits = _expectations(values, resolution)

    def error(name: str) -> float:
        return float(np.median(np.abs(values - fits[name]))) * (STL_PENALTY if name == "stl" else 1.0)

    best = min(fits, key=error)
    residual = values - fits[best]
    floor = max(0.3 * resolution, 1e-9 * float(np.max(np.abs(values))), 1e-300)
    return np.abs(residual) / max(_mad(residual), floor), fits[best], best


def _mad(residual: Array) -> float:
    """Robust standard deviation: median absolute value, scaled to agree with the normal distribution."""
    return 1.4826 * float(np.median(np.abs(residual)))


def _expectations(values: Array, resolution: float) -> dict[str, Array]:
    line = _robust_line(values)
    found = {
        "level": np.full(len(values), float(np.median(values))),
        "trend": line,
        "neighbours": line + _neighbour_median(values - line),
        "curve": _from_neighbours(values),
    }
    period = period_of(values)
    if period is not None and len(values) >= 2 * period:
        found["season"] = line + _phase_median(values - line, period)
        if len(values) >= 3 * period and len(values) <= 600:
            stl = STL(values, period=period, robust=True).fit()
            found["stl"] = np.asarray(stl.trend + stl.seasonal)
    shift = _lasting_shift(values, resolution)
    if shift is not None:
        halves = (values[:shift], values[shift:])
        found["step"] = np.concatenate([np.full(len(half), np.median(half)) for half in halves])
    return found


def _robust_line(values: Array) -> Array:
    """Theil-Sen line, shape (n,); on at most 300 evenly spaced points, as it takes all pairs."""
    at = np.arange(len(values), dtype=np.float64)
    stride = -(-len(values) // 300)
    slope, intercept, _, _ = stats.theilslopes(values[::stride], at[::stride])
    return np.asarray(intercept + slope * at)


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
    for i in range(len(values)):
        others = np.delete(values[i % period :: period], i // period)
        expected[i] = np.median(others)
    return expected


def _lasting_shift(values: Array, resolution: float) -> int | None:
    """Where the level changes for good: a jump of three standard deviations, far beyond chance, and no slope."""
    if len(values) < 8:
        return None
    at, jump, spread = step_at(values)
    spread = max(spread, 0.3 * resolution)
    before, after = at, len(values) - at
    chance = abs(jump) / spread / np.sqrt(1 / before + 1 / after)
    if abs(jump) < 3 * spread or chance < 6:
        return None
    slope = _robust_line(values)
    return at if float(np.median(np.abs(values - slope))) > 0.8 * spread else None
