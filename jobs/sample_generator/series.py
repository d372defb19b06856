"""Synthetic monitoring series with a known mean, the ground truth of the three time-series tasks.

Readings are integers counted in the last printed decimal ("ticks"), so no float rounding differs by machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jobs.sample_generator.drafts import Dice


@dataclass(frozen=True)
class Metric:
    """A measured quantity and the range of its usual level in ticks (never under 300: see Process)."""

    name: str
    unit: str
    decimals: int
    low: int
    high: int

    def show(self, ticks: int) -> str:
        """Print a reading without its unit."""
        if not self.decimals:
            return str(ticks)
        whole, rest = divmod(abs(ticks), 10**self.decimals)
        return f"{'-' if ticks < 0 else ''}{whole}.{rest:0{self.decimals}d}"

    def label(self, ticks: int) -> str:
        """Print a reading with its unit."""
        return f"{self.show(ticks)} {self.unit}"


METRICS = (
    Metric("CPU utilisation", "%", 1, 300, 420),
    Metric("p95 response time", "ms", 0, 310, 640),
    Metric("queue depth", "messages", 0, 400, 900),
    Metric("request rate", "req/s", 0, 700, 2400),
    Metric("heap in use", "MB", 0, 900, 2600),
    Metric("disk write throughput", "MB/s", 1, 420, 980),
    Metric("open database connections", "sessions", 0, 320, 560),
    Metric("inbound traffic", "Mbit/s", 2, 2200, 7600),
    Metric("garbage-collection pause", "ms", 1, 350, 900),
    Metric("cache miss ratio", "%", 2, 800, 1900),
    Metric("replication lag", "s", 2, 450, 1200),
    Metric("consumer throughput", "records/s", 0, 1100, 5200),
)
HOSTS = (
    "node-a7",
    "edge-04",
    "worker 12",
    "the orders cluster",
    "the search tier",
    "gateway west",
    "batch host 3",
    "the login service",
    "pool B",
    "the mail relay",
)
GAPS = ("minute", "5 minutes", "quarter of an hour", "30 seconds", "hour", "10 minutes")
SCENES = (
    "An agent on {host} records {name} ({unit}) once per {gap}. The last {n} readings, oldest first: {data}.",
    "{name} ({unit}) for {host}, one sample every {gap}, {n} samples: {data}.",
    "You are handed this export of {name} from {host}, in {unit}: {data}. Sampling interval: {gap}.",
    "Consider {n} consecutive measurements of {name} ({unit}) taken on {host}: {data}.",
    "A dashboard panel for {host} plots {name} in {unit}. Its data points from left to right are {data}.",
    "During an on-call shift you copy {n} values of {name} ({unit}, {host}, step: {gap}): {data}.",
    "The time series store returns the following for {host}, metric {name} in {unit}: {data}.",
)


@dataclass(frozen=True)
class Process:
    """Level, trend, cycle and bounded noise; ``unit`` (1 % of the level) is the scale of all effects."""

    level: int
    slope: int = 0
    swing: int = 0
    period: int = 8
    phase: int = 0
    noise: int = 0

    @property
    def unit(self) -> int:
        """One per cent of the level, at least three ticks for every metric above."""
        return self.level // 100

    def mean(self, step: int) -> int:
        """Return the noise-free reading at a step."""
        return self.level + self.slope * step + self.swing * arch(step + self.phase, self.period) // 1000

    def sample(self, dice: Dice, count: int) -> list[int]:
        """Draw readings 0 … count - 1."""
        return [self.mean(step) + jitter(dice, self.noise) for step in range(count)]


def arch(step: int, period: int) -> int:
    """Integer stand-in for 1000·sin, of two parabolas: libm differs between machines, this does not."""
    double = 2 * (step % period)
    if double < period:
        return 4000 * double * (period - double) // period**2
    return -(4000 * (double - period) * (2 * period - double) // period**2)


def jitter(dice: Dice, size: int) -> int:
    """Draw bounded triangular noise, so a large deviation is never mere luck."""
    return dice.between(0, size) - dice.between(0, size)


def flat(dice: Dice, metric: Metric) -> Process:
    """Draw a process that stays level."""
    level = dice.between(metric.low, metric.high)
    return Process(level, noise=2 * (level // 100))


def sloped(dice: Dice, metric: Metric) -> Process:
    """Draw a process with a trend, mild enough that a falling one stays positive for 40 readings."""
    base = flat(dice, metric)
    per_step = dice.between(150, 220) * base.unit // 100
    return replace(base, slope=dice.pick((1, -1)) * per_step)


def cyclic(dice: Dice, metric: Metric) -> Process:
    """Draw a process that repeats often enough to be seen at least three times in 30 readings."""
    base = flat(dice, metric)
    period = dice.between(6, 10)
    return replace(base, swing=dice.between(16, 28) * base.unit, period=period, phase=dice.below(period))


def scene(dice: Dice, metric: Metric, values: Sequence[int]) -> str:
    """Describe a series in words and print its readings in one of several list styles."""
    left, joint, right = dice.pick((("[", ", ", "]"), ("", ", ", ""), ("", "; ", ""), ("", " ", ""), ("(", ", ", ")")))
    data = left + joint.join(metric.show(value) for value in values) + right
    text = dice.pick(SCENES).format(
        host=dice.pick(HOSTS),
        gap=dice.pick(GAPS),
        name=metric.name,
        unit=metric.unit,
        n=len(values),
        data=data,
    )
    return text[0].upper() + text[1:]
