"""Forecasting questions: the answer is the noise-free continuation, the distractors are typical mistakes.

Mistakes closer to the truth than ``GAP`` units (noise is at most two) are dropped, so the choice never hangs
on noise, and the rank of the truth among the options is drawn, so that "take a middle value" does not help.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from jobs.sample_generator.drafts import Dice, Draft, draft
from jobs.sample_generator.series import METRICS, Metric, Process, cyclic, flat, scene, sloped

GAP = 8
AHEAD = (
    "Which value is the best forecast for the reading {h} after the last one?",
    "If the behaviour goes on unchanged, what is to be expected {h} past the end of the list?",
    "Extrapolate the regular behaviour: the value {h} further on is closest to",
    "For capacity planning you need the point {h} ahead. Which estimate should you use?",
    "Pick the most plausible continuation, {h} beyond the final sample.",
)
TRIPLE = (
    "Which three values most plausibly come next?",
    "How does the series continue over the next three samples?",
    "Choose the best forecast for the following three readings, in order.",
)
AVERAGE = (
    "What will the next {h} readings average?",
    "Estimate the mean of the coming {h} samples.",
    "A budget is set on the mean over the next {h} readings. Which mean is the best forecast?",
)


def forecast(dice: Dice, number: int) -> Draft:
    """Draw one question; the number selects its shape, so that all are equally frequent."""
    shapes: tuple[Callable[[Dice, Metric], Draft], ...] = (_trend, _cycle, _both, _shift, _floor, _average)
    return shapes[number % len(shapes)](dice, dice.pick(METRICS))


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count} steps"


def _decoys(dice: Dice, truth: int, gap: int, mistakes: Sequence[int]) -> list[int]:
    """Choose three wrong values, a drawn number of them below the truth, all at least a gap apart."""
    below = dice.below(4) if truth > 8 * gap else 0
    ladder = [truth + sign * (k * gap + gap // 3) for k in range(1, 8) for sign in (1, -1)]
    chosen: list[int] = []
    for value in [*dice.shuffled(mistakes), *ladder]:
        low = sum(v < truth for v in chosen)
        room = low < below if value < truth else len(chosen) - low < 3 - below
        if room and value > 0 and all(abs(value - other) >= gap for other in [truth, *chosen]):
            chosen.append(value)
    return chosen


def _question(
    dice: Dice,
    metric: Metric,
    values: Sequence[int],
    ask: str,
    truth: int,
    gap: int,
    mistakes: Sequence[int],
    why: str,
) -> Draft:
    wrong = _decoys(dice, truth, gap, mistakes)
    style = dice.pick(("{}", "about {}", "{} " + metric.unit))
    texts = [style.format(metric.show(value)) for value in [truth, *wrong]]
    stem = f"{scene(dice, metric, values)} {ask}"
    return draft(stem, texts[0], texts[1:], f"{why}, hence {metric.label(truth)}.")


def _trend(dice: Dice, metric: Metric) -> Draft:
    base, count, ahead = sloped(dice, metric), dice.between(20, 30), dice.between(5, 9)
    values = base.sample(dice, count)
    truth = base.mean(count - 1 + ahead)
    overall = sum(values) // count
    # No trend, double trend, reversed trend, and the mean of all readings.
    mistakes = (values[-1], truth + base.slope * ahead, values[-1] - base.slope * ahead, overall)
    ask = dice.pick(AHEAD).format(h=_steps(ahead))
    why = f"The trend is about {metric.show(base.slope)} per step"
    return _question(dice, metric, values, ask, truth, GAP * base.unit, mistakes, why)


def _cycle(dice: Dice, metric: Metric) -> Draft:
    base = cyclic(dice, metric)
    count, ahead = dice.between(max(20, 3 * base.period), 40), dice.between(1, base.period - 1)
    values = base.sample(dice, count)
    at = count - 1 + ahead
    # Last value, plain level, half a cycle off, and the mirror image of the true phase.
    mistakes = (values[-1], base.level, base.mean(at + base.period // 2), 2 * base.level - base.mean(at))
    ask = dice.pick(AHEAD).format(h=_steps(ahead))
    why = f"The cycle lasts {base.period} readings and the same phase is due again"
    return _question(dice, metric, values, ask, base.mean(at), GAP * base.unit, mistakes, why)


def _both(dice: Dice, metric: Metric) -> Draft:
    base = cyclic(dice, metric)
    base = replace(base, slope=dice.between(150, 220) * base.unit // 100, swing=base.swing * 5 // 4)
    count = dice.between(max(20, 3 * base.period), 34)
    half, whole = base.period // 2, base.period
    right = _three(base, count)
    # Half a cycle late or early, the last cycle repeated without trend, cycle ignored, trend counted twice.
    tries = [_three(base, count + half), _three(base, count - half), _three(base, count - 2 * whole)]
    tries += [
        _three(replace(base, swing=0), count),
        _three(base, count + 2 * whole),
        _three(base, count - 3 * whole),
    ]
    # Plain offsets fill up when mistakes coincide for this period.
    spare = [tuple(value + k * base.unit for value in right) for k in (12, 22, -14, 34)]
    wrong: list[tuple[int, ...]] = []
    for option in dice.shuffled(tries) + spare:
        if min(option) > 0 and all(_apart(option, other) >= GAP * base.unit for other in [right, *wrong]):
            wrong.append(option)
    style = dice.pick((", ", " -> ", " then "))
    texts = [style.join(metric.show(value) for value in option) for option in [right, *wrong[:3]]]
    stem = f"{scene(dice, metric, base.sample(dice, count))} {dice.pick(TRIPLE)}"
    why = f"A cycle of {base.period} readings rides on a trend of about {metric.show(base.slope)} per step."
    return draft(stem, texts[0], texts[1:], why)


def _apart(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def _three(base: Process, start: int) -> tuple[int, ...]:
    return tuple(base.mean(start + k) for k in range(3))


def _shift(dice: Dice, metric: Metric) -> Draft:
    base, count, ahead = flat(dice, metric), dice.between(22, 36), dice.between(1, 4)
    start = dice.between(count // 3, 2 * count // 3)
    size = dice.between(24, 36) * dice.pick((1, -1)) * base.unit
    values = [value + size * (t >= start) for t, value in enumerate(base.sample(dice, count))]
    # Old level, mean over both levels, and a second jump.
    mistakes = (base.level, sum(values) // count, base.level + 2 * size)
    ask = dice.pick(AHEAD).format(h=_steps(ahead))
    why = f"The level has been stable since reading {start + 1}"
    return _question(dice, metric, values, ask, base.level + size, GAP * base.unit, mistakes, why)


def _floor(dice: Dice, metric: Metric) -> Draft:
    base, count, ahead = flat(dice, metric), dice.between(26, 36), dice.between(2, 8)
    rate, size = dice.between(74, 82), dice.between(45, 60) * base.unit * dice.pick((1, -1))
    values = [v + size * rate**t // 100**t for t, v in enumerate(base.sample(dice, count))]
    step = (values[-1] - values[0]) // (count - 1)
    # Straight line through both ends, overall mean, and a return to the start.
    mistakes = (values[-1] + step * (ahead + 4), sum(values) // count, values[0], base.level - size // 2)
    ask = dice.pick(AHEAD).format(h=_steps(ahead))
    truth = base.level + size * rate ** (count - 1 + ahead) // 100 ** (count - 1 + ahead)
    return _question(dice, metric, values, ask, truth, GAP * base.unit, mistakes, "The curve has flattened out")


def _average(dice: Dice, metric: Metric) -> Draft:
    base = dice.pick((sloped, cyclic))(dice, metric)
    count, ahead = dice.between(30, 38), dice.between(3, 5)
    values = base.sample(dice, count)
    truth = sum(base.mean(count + k) for k in range(ahead)) // ahead
    # The last value, the recent mean and the overall mean carried on, and a move in the wrong direction.
    recent = sum(values[-ahead:]) // ahead
    mistakes = (values[-1], recent, sum(values) // count, 2 * recent - truth)
    ask = dice.pick(AVERAGE).format(h=ahead)
    why = f"The regular behaviour is averaged over the {ahead} readings to come"
    return _question(dice, metric, values, ask, truth, GAP * base.unit, mistakes, why)
