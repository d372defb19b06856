"""Classification questions: the class is the recipe that drew the series."""

from collections.abc import Callable
from dataclasses import replace

from jobs.sample_generator.drafts import Dice, Draft, draft
from jobs.sample_generator.series import METRICS, Metric, cyclic, flat, jitter, scene

Recipe = Callable[[Dice, Metric, int], list[int]]

ASKS = (
    "Which class of pattern is this?",
    "Pick the label that fits the whole window.",
    "Leaving small noise aside, how would you classify the behaviour?",
    "A classifier may assign just one of four tags. Which should it be?",
    "What kind of behaviour did the system show?",
    "Select the best description of its course over time.",
)


def classification(dice: Dice, number: int) -> Draft:
    """Draw one question; the number selects its class, so that all are equally frequent."""
    names = tuple(CLASSES)
    name = names[number % len(names)]
    metric = dice.pick(METRICS)
    values = CLASSES[name][0](dice, metric, dice.between(24, 38))
    others = dice.sample([other for other in names if other != name], 3)
    right = dice.pick(CLASSES[name][1])
    wrong = [dice.pick(CLASSES[other][1]) for other in others]
    marks = [metric.show(values[i]) for i in (0, len(values) // 2, -1)]
    course = f"first {marks[0]}, middle {marks[1]}, last {marks[2]} {metric.unit}"
    why = f"The series was drawn as: {right} ({course})."
    return draft(f"{scene(dice, metric, values)} {dice.pick(ASKS)}", right, wrong, why)


def _growth(dice: Dice, metric: Metric, count: int) -> list[int]:
    base = flat(dice, metric)
    return replace(base, slope=dice.between(150, 250) * base.unit // 100).sample(dice, count)


def _decline(dice: Dice, metric: Metric, count: int) -> list[int]:
    base = flat(dice, metric)
    return replace(base, slope=-dice.between(140, 220) * base.unit // 100).sample(dice, count)


def _cycle(dice: Dice, metric: Metric, count: int) -> list[int]:
    return cyclic(dice, metric).sample(dice, count)


def _climbing_cycle(dice: Dice, metric: Metric, count: int) -> list[int]:
    base = cyclic(dice, metric)
    return replace(base, slope=dice.between(170, 230) * base.unit // 100).sample(dice, count)


def _shift(dice: Dice, metric: Metric, count: int) -> list[int]:
    base = flat(dice, metric)
    start = dice.between(count // 3, 2 * count // 3)
    size = dice.between(15, 30) * dice.pick((1, -1)) * base.unit
    return [value + size * (t >= start) for t, value in enumerate(base.sample(dice, count))]


def _noise(dice: Dice, metric: Metric, count: int) -> list[int]:
    base = flat(dice, metric)
    return replace(base, noise=dice.between(3, 8) * base.unit).sample(dice, count)


def _approach(dice: Dice, metric: Metric, count: int, sign: int) -> list[int]:
    base = flat(dice, metric)
    rate, size = dice.between(78, 86), dice.between(45, 60) * base.unit
    return [v + sign * (size * rate**t // 100**t) for t, v in enumerate(base.sample(dice, count))]


def _decay(dice: Dice, metric: Metric, count: int) -> list[int]:
    return _approach(dice, metric, count, 1)


def _saturation(dice: Dice, metric: Metric, count: int) -> list[int]:
    return _approach(dice, metric, count, -1)


def _bump(dice: Dice, metric: Metric, count: int) -> list[int]:
    base = flat(dice, metric)
    start, width = dice.between(count // 4, count // 2), dice.between(5, 8)
    size = dice.between(25, 40) * base.unit
    lift = [size * 4 * k * (width + 1 - k) // (width + 1) ** 2 for k in range(1, width + 1)]
    values = base.sample(dice, count)
    return [v + (lift[t - start] if 0 <= t - start < width else 0) for t, v in enumerate(values)]


def _widening(dice: Dice, metric: Metric, count: int) -> list[int]:
    base = flat(dice, metric)
    start, wide = dice.between(count // 3, count // 2), dice.between(18, 26) * base.unit
    return [base.level + jitter(dice, base.unit if t < start else wide) for t in range(count)]


CLASSES: dict[str, tuple[Recipe, tuple[str, ...]]] = {
    "growth": (
        _growth,
        ("steady growth at a constant pace", "linear increase", "upward trend, straight line"),
    ),
    "decline": (
        _decline,
        ("steady decline at a constant pace", "linear decrease", "downward trend, straight line"),
    ),
    "cycle": (
        _cycle,
        ("regular cycle around a constant level", "periodic oscillation", "seasonality without trend"),
    ),
    "climbing": (
        _climbing_cycle,
        ("cycle on top of growth", "upward trend plus seasonality", "rising oscillation"),
    ),
    "shift": (
        _shift,
        (
            "abrupt and lasting level shift",
            "step change between two plateaus",
            "two stable phases with a sudden offset",
        ),
    ),
    "noise": (
        _noise,
        ("stationary noise", "random scatter, mean and spread unchanged", "structureless fluctuation"),
    ),
    "decay": (_decay, ("decay that flattens out", "fast fall slowing towards a floor", "exponential decay")),
    "saturation": (
        _saturation,
        ("growth that saturates", "fast rise slowing towards a ceiling", "levelling-off rise"),
    ),
    "bump": (
        _bump,
        ("temporary surge with full recovery", "one passing hump", "short-lived rise, then back to normal"),
    ),
    "widening": (
        _widening,
        ("spread that grows midway", "calm first, then much more volatile", "variance increase"),
    ),
}
