"""Anomaly detection questions: the anomaly is injected, so its place, number and kind are known.

Outliers on a trend or a cycle point towards the middle of the range, so that simply reading off the largest
or smallest value does not find them.
"""

from collections.abc import Callable

from jobs.sample_generator.drafts import Dice, Draft, draft
from jobs.sample_generator.series import METRICS, Metric, Process, cyclic, flat, scene, sloped

VERDICTS = {
    "calm": ("no anomaly at all, only regular behaviour", "nothing abnormal; ordinary scatter"),
    "spike": ("a single reading that is too high", "one isolated upward outlier"),
    "dip": ("a single reading that is too low", "one isolated downward outlier"),
    "rise": ("a lasting jump to a higher level", "a permanent upward shift of the level"),
    "fall": ("a lasting drop to a lower level", "a permanent downward shift of the level"),
}
PINPOINT = (
    "Readings are numbered from 1. Which one breaks the pattern of the rest?",
    "Counting from 1, where is the point anomaly?",
    "Exactly which entry would a detector that models the regular behaviour flag (first entry = number 1)?",
)
TALLY = (
    "How many isolated point anomalies are there?",
    "After modelling trend and cycle, how many readings remain unexplained?",
    "A detector fits the regular behaviour and flags what deviates strongly. How many flags does it raise?",
)
ONSET = (
    "The level changes for good at some point. Which reading (counted from 1) is the first on the new level?",
    "Name the number of the first reading after the level shift, counting from 1.",
    "A change-point detector looks for a lasting offset. At which reading, numbered from 1, does it begin?",
)
VERDICT = (
    "What does an anomaly check of this window find?",
    "Judge the window as a whole: what is unusual in it?",
    "Which finding belongs in the anomaly report?",
)
STRETCH = (
    "Three neighbouring readings are abnormal together. In which part do they lie (counting from 1)?",
    "Somewhere a short burst of three readings departs from the regular behaviour. Where?",
    "Split into four equal parts and numbered from 1, which part holds the collective anomaly?",
)


def anomaly(dice: Dice, number: int) -> Draft:
    """Draw one question; the number selects its shape, so that all are equally frequent."""
    shapes: tuple[Callable[[Dice, Metric, Process], Draft], ...] = (
        _pinpoint,
        _tally,
        _onset,
        _verdict,
        _stretch,
    )
    metric = dice.pick(METRICS)
    base = dice.pick((flat, sloped, cyclic))(dice, metric)
    return shapes[number % len(shapes)](dice, metric, base)


def _kick(dice: Dice, base: Process, step: int, count: int) -> int:
    """Size an outlier: well above the noise, and towards the middle if the base itself moves."""
    size = dice.between(14, 22) * base.unit
    middle = sum(base.mean(t) for t in range(count)) // count
    if not base.slope and not base.swing:
        return size * dice.pick((1, -1))
    return size if base.mean(step) < middle else -size


def _pinpoint(dice: Dice, metric: Metric, base: Process) -> Draft:
    count = dice.between(20, 36)
    values = base.sample(dice, count)
    at = dice.between(3, count - 4)
    present = dice.below(8) > 0
    if present:
        values[at] += _kick(dice, base, at, count)
    ranked = sorted(range(count), key=lambda t: values[t])
    # The extremes are the tempting mistakes; two drawn at random keep them from being a giveaway.
    decoys = [t for t in dict.fromkeys([ranked[-1], ranked[0], *dice.shuffled(range(count))]) if t != at][:5]
    style = dice.pick(("reading {n}", "{n}", "number {n} ({v})"))
    name = [style.format(n=t + 1, v=metric.label(values[t])) for t in range(count)]
    nothing = "no reading"
    spare = [nothing] if present and dice.below(2) else []
    wrong = (spare + [name[t] for t in dice.sample(decoys, 3)])[:3]
    stem = f"{scene(dice, metric, values)} {dice.pick(PINPOINT)}"
    if not present:
        return draft(stem, nothing, wrong, "All readings stay within the noise around the regular behaviour.")
    due, seen = metric.label(base.mean(at)), metric.show(values[at])
    return draft(stem, name[at], wrong, f"Reading {at + 1} should be about {due}, but is {seen}.")


def _tally(dice: Dice, metric: Metric, base: Process) -> Draft:
    count = dice.between(24, 40)
    values = base.sample(dice, count)
    total = dice.below(4)
    # Slots of six readings keep the outliers apart, so two never merge into one burst.
    slots = dice.sample(range(count // 6), total)
    places = sorted(slot * 6 + dice.between(1, 4) for slot in slots)
    for at in places:
        values[at] += _kick(dice, base, at, count)
    words = dice.pick((("0", "1", "2", "3"), ("none", "one", "two", "three"), ("zero", "one", "two", "three")))
    where = ", ".join(str(at + 1) for at in places) or "none"
    stem = f"{scene(dice, metric, values)} {dice.pick(TALLY)}"
    wrong = [word for word in words if word != words[total]]
    return draft(stem, words[total], wrong, f"Readings far outside the noise band: {where}.")


def _onset(dice: Dice, metric: Metric, base: Process) -> Draft:
    count = dice.between(22, 40)
    values = base.sample(dice, count)
    start = dice.between(count // 4, 3 * count // 4)
    # Against the trend, if there is one: a shift along it could pass for a steeper slope.
    sign = (-1 if base.slope > 0 else 1) if base.slope else dice.pick((1, -1))
    offset = sign * dice.between(14, 22) * base.unit
    values = [value + offset * (t >= start) for t, value in enumerate(values)]
    grid = [start + 3 * k for k in range(-6, 7) if k and 2 <= start + 3 * k < count - 1]
    style = dice.pick(("reading {}", "{}", "number {}"))
    wrong = [style.format(t + 1) for t in dice.sample(grid, 3)]
    why = f"From reading {start + 1} on, all readings lie about {metric.label(abs(offset))} away from before."
    return draft(f"{scene(dice, metric, values)} {dice.pick(ONSET)}", style.format(start + 1), wrong, why)


def _verdict(dice: Dice, metric: Metric, base: Process) -> Draft:
    count = dice.between(22, 38)
    values = base.sample(dice, count)
    kind = dice.pick(tuple(VERDICTS))
    at = dice.between(count // 3, 2 * count // 3)
    size = {"calm": 0, "spike": 1, "dip": -1, "rise": 1, "fall": -1}[kind] * dice.between(16, 24) * base.unit
    end = at + 1 if kind in ("spike", "dip") else count
    values = [value + size * (at <= t < end) for t, value in enumerate(values)]
    others = dice.sample([name for name in VERDICTS if name != kind], 3)
    wrong = [dice.pick(VERDICTS[name]) for name in others]
    right = dice.pick(VERDICTS[kind])
    place = "" if kind == "calm" else f" It starts at reading {at + 1}."
    stem = f"{scene(dice, metric, values)} {dice.pick(VERDICT)}"
    return draft(stem, right, wrong, f"The window shows {right}.{place}")


def _stretch(dice: Dice, metric: Metric, base: Process) -> Draft:
    width = dice.between(6, 10)
    count = 4 * width
    values = base.sample(dice, count)
    part = dice.below(4)
    at = part * width + dice.between(1, width - 4)
    size = _kick(dice, base, at + 1, count)
    values = [value + size * (at <= t < at + 3) for t, value in enumerate(values)]
    style = dice.pick(("readings {} to {}", "{}-{}", "between number {} and number {}"))
    names = [style.format(k * width + 1, (k + 1) * width) for k in range(4)]
    stem = f"{scene(dice, metric, values)} {dice.pick(STRETCH)}"
    wrong = [name for name in names if name != names[part]]
    return draft(stem, names[part], wrong, f"Readings {at + 1} to {at + 3} leave the regular behaviour.")
