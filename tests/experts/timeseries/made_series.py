"""Series made in tests: seeded draws of each kind of pattern, and a series as a question prints it."""

from collections.abc import Callable, Sequence

import numpy as np

from coe_ray.experts.timeseries.series import Array

Base = Callable[[np.random.Generator, int], Array]


def level(rng: np.random.Generator, n: int) -> Array:
    return np.asarray(rng.uniform(20, 500) + rng.normal(0, 2, n))


def wave(rng: np.random.Generator, n: int) -> Array:
    period = int(rng.integers(6, max(7, n // 3)))
    angles = 2 * np.pi * np.arange(n) / period + rng.uniform(0, 6)
    return np.asarray(200 + rng.uniform(15, 60) * np.sin(angles) + rng.normal(0, 2, n))


def rising(rng: np.random.Generator, n: int) -> Array:
    return np.asarray(50 + rng.uniform(0.8, 4) * np.arange(n) + rng.normal(0, 2, n))


def falling(rng: np.random.Generator, n: int) -> Array:
    return np.asarray(500 - rng.uniform(0.8, 4) * np.arange(n) + rng.normal(0, 2, n))


def stepping(rng: np.random.Generator, n: int) -> Array:
    values = level(rng, n)
    values[int(rng.integers(n // 4, 3 * n // 4)) :] += rng.uniform(12, 40)
    return values


def stepping_down(rng: np.random.Generator, n: int) -> Array:
    return -stepping(rng, n) + 1000


def spiking(rng: np.random.Generator, n: int) -> Array:
    values = level(rng, n)
    values[rng.choice(n, 2, replace=False)] += rng.uniform(25, 60)
    return values


def walking(rng: np.random.Generator, n: int) -> Array:
    return np.asarray(300 + np.cumsum(rng.normal(0, 3, n)))


def growing(rng: np.random.Generator, n: int) -> Array:
    return np.asarray(5 * np.exp(rng.uniform(3, 5) * np.arange(n) / n) + rng.normal(0, 1, n))


def decaying(rng: np.random.Generator, n: int) -> Array:
    return np.asarray(20 + 300 * np.exp(-rng.uniform(3, 6) * np.arange(n) / n) + rng.normal(0, 2, n))


def widening(rng: np.random.Generator, n: int) -> Array:
    return np.asarray(100 + rng.normal(0, 1, n) * np.where(np.arange(n) < n // 2, 1.5, 9.0))


def listed(values: Sequence[float] | Array, decimals: int = 1) -> str:
    return "[" + ", ".join(f"{value:.{decimals}f}" for value in values) + "]"
