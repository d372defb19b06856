"""Axes with round numbers: where a value lies between the ends. Pure."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

MOST_TICKS = 6


@dataclass(frozen=True, slots=True)
class Axis:
    """`ticks` ascend, the first and the last are the axis' ends. A logarithmic one has only positive values."""

    ticks: tuple[float, ...]
    logarithmic: bool = False

    @property
    def low(self) -> float:
        return self.ticks[0]

    @property
    def high(self) -> float:
        return self.ticks[-1]

    def share(self, value: float) -> float:
        """How far along the axis `value` is: 0 at its low end, 1 at its high one."""
        low, high, here = ((math.log(each) if self.logarithmic else each) for each in (self.low, self.high, value))
        return (here - low) / (high - low)


def linear(values: Iterable[float], most: int = MOST_TICKS) -> Axis:
    """Around all values, in steps of 1, 2 or 5 times a power of ten, with at most `most` + 1 ticks."""
    known = list(values) or [0.0, 1.0]
    low, high = min(known), max(known)
    # One value alone makes no axis.
    low = min(low, high - 0.02 * abs(high))
    high = high if high > low else 1.0
    for step in _steps((high - low) / most):
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        last = max(last, first + 1)
        if last - first <= most:
            break
    return Axis(tuple(float(f"{number * step:.12g}") for number in range(first, last + 1)))


def spread(values: Iterable[float]) -> Axis:
    """Logarithmic where all values are positive and the largest is over ten times the least; linear else."""
    known = list(values)
    if known and min(known) > 0 and max(known) > 10 * min(known):
        return _logarithmic(min(known), max(known))
    return linear(known)


def _steps(least: float) -> Iterable[float]:
    """Round steps, ascending, endless, the first not above what is wanted."""
    power = math.floor(math.log10(least))
    while True:
        yield from (digit * 10.0**power for digit in (1, 2, 5))
        power += 1


def _logarithmic(low: float, high: float) -> Axis:
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = _around([float(f"{digit}e{power}") for power in powers for digit in digits], low, high)
        if len(ticks) <= MOST_TICKS + 1:
            return Axis(ticks, logarithmic=True)
    every = math.ceil((len(ticks) - 1) / MOST_TICKS)
    return Axis((*ticks[:-1:every], ticks[-1]), logarithmic=True)


def _around(ticks: list[float], low: float, high: float) -> tuple[float, ...]:
    first = max(tick for tick in ticks if tick <= low)
    last = min(tick for tick in ticks if tick >= high)
    return tuple(tick for tick in ticks if first <= tick <= last)
