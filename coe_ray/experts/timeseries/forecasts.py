"""The next values of a series, by whichever simple method would have foretold its last ones best."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
from statsmodels.tsa.holtwinters import ExponentialSmoothing

from coe_ray.experts.timeseries.patterns import harmonics, season_length
from coe_ray.experts.timeseries.series import Array

FURTHEST = 60
"""More steps ahead than this are not foretold."""
AS_GOOD = 1.25
"""Methods with up to this multiple of the smallest error join the forecast: a median is steadier than one."""

Method: TypeAlias = Callable[[Array, int], Array]


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """Values to come, shape (steps,), the best method, and its mean absolute error on the last values."""

    values: Array
    method: str
    error: float


def forecast(values: Array, steps: int) -> Forecast:
    """The next `steps` values (at most `FURTHEST`) after `values`, shape (n,) with n at least 6."""
    steps = max(1, min(steps, FURTHEST))
    ahead = max(1, min(steps, len(values) // 5))
    period = season_length(values)
    tried = [
        (_back_test(values, method, ahead), name, method(values, steps)) for name, method in _methods(values, period)
    ]
    tried += [(error * 1.1, name, ahead_values) for error, name, ahead_values in _smoothings(values, period, steps)]
    tried = [trial for trial in tried if np.isfinite(trial[0]) and bool(np.all(np.isfinite(trial[2])))]
    tried.sort(key=lambda trial: trial[0])
    error, name, _ = tried[0]
    scale = float(np.max(np.abs(values)))
    joined = [ahead_values for e, _, ahead_values in tried if e <= AS_GOOD * error + 1e-9 * scale]
    return Forecast(np.median(np.stack(joined), axis=0), name, error)


def _back_test(values: Array, method: Method, ahead: int) -> float:
    """Mean absolute error of forecasts `ahead` steps long from each of the last points."""
    n = len(values)
    origins = range(max(4, n - ahead - min(6, n // 3) + 1), n - ahead + 1)
    errors = [float(np.mean(np.abs(method(values[:o], ahead) - values[o : o + ahead]))) for o in origins]
    return float(np.mean(errors))


def _methods(values: Array, period: float | None) -> Iterator[tuple[str, Method]]:
    n = len(values)
    yield "last value", lambda past, steps: np.full(steps, past[-1])
    yield "mean", lambda past, steps: np.full(steps, past.mean())
    yield ("drift", lambda past, steps: past[-1] + (past[-1] - past[0]) / (len(past) - 1) * np.arange(1, steps + 1))
    yield "line", lambda past, steps: _polynomial(past, steps, 1)
    yield "recent mean", lambda past, steps: np.full(steps, past[-5:].mean())
    if n >= 12:
        yield "recent line", lambda past, steps: _polynomial(past[-max(6, n // 3) :], steps, 1)
    if n >= 8:
        yield "parabola", lambda past, steps: _polynomial(past, steps, 2)
    if bool(np.all(values > 0)):
        yield "exponential", _exponential
    for order in (1, 2, 5):
        if n >= 4 * order + 4:
            yield f"autoregression of order {order}", partial(_autoregression, order=order)
    if period is not None:
        yield from _seasonal_methods(n, period)


def _seasonal_methods(n: int, period: float) -> Iterator[tuple[str, Method]]:
    whole = round(period)
    yield f"season of {whole} repeated", lambda past, steps: _repeated(past, steps, whole)
    if n >= 2 * whole + 2:
        yield f"season of {whole} on a line", lambda past, steps: _phases(past, steps, whole)
    for count in (1, 2, 3):
        if 2 * count < period and n >= 4 * count + 6:
            yield f"{count} harmonics of {period:.4g}", partial(_waves, period=period, count=count)


def _continued(design: Array, past: Array, steps: int) -> Array:
    """Least squares of `past` on the first rows of `design`, continued over its last `steps` rows."""
    coefficients = np.linalg.lstsq(design[: len(past)], past, rcond=None)[0]
    return np.asarray(design[-steps:] @ coefficients)


def _polynomial(past: Array, steps: int, degree: int) -> Array:
    unit = np.arange(len(past) + steps, dtype=np.float64) / len(past)
    return _continued(np.asarray(np.vander(unit, degree + 1)), past, steps)


def _exponential(past: Array, steps: int) -> Array:
    # Growth is bounded so that a wild fit on few values stays a finite number.
    logs = _polynomial(np.log(np.maximum(past, 1e-100)), steps, 1)
    return np.asarray(np.exp(np.clip(logs, -230.0, 160.0)))


def _autoregression(past: Array, steps: int, order: int) -> Array:
    """Each value from the `order` before it, least squares with a constant; bounded against explosion."""
    if len(past) < 2 * order + 2:
        return np.full(steps, np.nan)
    centre, scale = past.mean(), float(np.max(np.abs(past - past.mean())))
    if scale < 1e-9 * abs(centre) or scale < 1e-100:
        return np.full(steps, past[-1])
    z = (past - centre) / scale
    lags = np.lib.stride_tricks.sliding_window_view(z, order)[:-1]
    design = np.column_stack([lags, np.ones(len(lags))])
    weights = np.linalg.lstsq(design, z[order:], rcond=1e-10)[0]
    window = list(z[-order:])
    for _ in range(steps):
        following = float(np.dot(weights[:-1], window[-order:]) + weights[-1])
        window.append(max(-1e6, min(1e6, following)))
    return np.asarray(centre + scale * np.array(window[order:]))


def _repeated(past: Array, steps: int, period: int) -> Array:
    last = past[-period:]
    return np.asarray(last[np.arange(steps) % len(last)])


def _phases(past: Array, steps: int, period: int) -> Array:
    if len(past) < period + 2:
        return _repeated(past, steps, period)
    at = np.arange(len(past) + steps)
    design = np.column_stack([at[:, None] % period == np.arange(period), at / len(past)])
    return _continued(np.asarray(design, dtype=np.float64), past, steps)


def _waves(past: Array, steps: int, period: float, count: int) -> Array:
    at = np.arange(len(past) + steps, dtype=np.float64)
    design = np.column_stack([harmonics(at, period, count), at / len(past)])
    return _continued(design, past, steps)


def _smoothings(values: Array, period: float | None, steps: int) -> Iterator[tuple[float, str, Array]]:
    """Holt's trend, or Holt-Winters, for a few weights: one-step error on the last third, name, and forecasts.

    A grid rather than the optimiser: it cannot fail to converge, and it costs no warnings across threads.
    """
    n = len(values)
    seasonal = round(period) if period is not None and n >= 2 * round(period) + 2 else None
    if n < 10 or n > 1000 or not np.ptp(values) > 0:
        return
    for alpha, beta in ((0.2, 0.05), (0.5, 0.1), (0.8, 0.3)):
        model = ExponentialSmoothing(
            values,
            trend="add",
            seasonal="add" if seasonal else None,
            seasonal_periods=seasonal,
            initialization_method="heuristic" if not seasonal else "legacy-heuristic",
        )
        weights = {"smoothing_seasonal": 0.3} if seasonal else {}
        fit = model.fit(smoothing_level=alpha, smoothing_trend=beta, optimized=False, **weights)
        error = float(np.mean(np.abs(np.asarray(fit.fittedvalues)[-(n // 3) :] - values[-(n // 3) :])))
        yield error, "Holt-Winters" if seasonal else "Holt's trend", np.asarray(fit.forecast(steps))
