"""Judges: score each option of a question against its series, one function for each kind of question."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coe_ray.experts.timeseries.anomalies import THRESHOLD, Anomalies, find_anomalies, off_majority
from coe_ray.experts.timeseries.concepts import Claim, cost, read_claim
from coe_ray.experts.timeseries.forecasts import forecast
from coe_ray.experts.timeseries.options import (
    Interval,
    PointNotation,
    denies_anomaly,
    detect_notation,
    parse_intervals,
    parse_period,
    parse_points,
    parse_values,
    parse_yes_no,
)
from coe_ray.experts.timeseries.patterns import Fit, fit_patterns, season_length
from coe_ray.experts.timeseries.series import Array, Series

NOTHING_DESPITE = -0.5
"""Score of "no anomaly" where there is one: above sets of wrong points, below any right one."""
WRONG_PERIOD = 20.0
"""What an option pays, in BIC, for a period that is not the series'."""


@dataclass(frozen=True, slots=True)
class SeriesQuestion:
    """A question's text, its options, and the series read out of it."""

    text: str
    options: tuple[str, ...]
    series: Series


@dataclass(frozen=True, slots=True)
class Verdict:
    """A score for each option (higher is better, minus infinity: impossible), and the finding in words."""

    scores: tuple[float, ...]
    finding: str


def judge_anomalies(question: SeriesQuestion) -> Verdict:
    """The likeliest set of points: each point adds by how far its score is above the threshold."""
    text, options, series = question.text, question.options, question.series
    found = find_anomalies(series.values, series.resolution)
    shift = found.shift if not found.found else None
    scores = found.scores if shift is None else off_majority(series.values, shift, series.resolution)
    notation = detect_notation(text, options, series)
    base = _settled_base(options, notation, series, found)
    sums = []
    for option, claimed in zip(options, _claim_scores(options, series, found), strict=True):
        points = parse_points(option, notation, series, base)
        sums.append(
            _set_score(option, points, scores, shift, anything=bool(found.found) or shift is not None) + claimed
        )
    finding = _described(found, series)
    # Something was found, the options that could name it cannot be read: "none" would be a guess.
    unread = -float("inf") in sums and max(sums) == NOTHING_DESPITE
    return Verdict((-float("inf"),) * len(sums) if unread else tuple(sums), finding)


def _set_score(option: str, points: Sequence[int] | None, scores: Array, shift: int | None, anything: bool) -> float:
    if points is None:
        if denies_anomaly(option) or parse_yes_no(option) is False:
            return NOTHING_DESPITE if anything else 0.5
        return (1.0 if anything else -1.0) if parse_yes_no(option) else -float("inf")
    total = 0.0
    for point in set(points):
        # The tail of the score only breaks ties: ten sure points must not weigh as much as one absurd one.
        above = -6.0 if point < 0 else float(np.clip(scores[point] - THRESHOLD, -5.0, 8.0))
        total += above + (1e-3 * min(float(scores[point]), 1e3) if point >= 0 else 0.0)
        total += 2.0 if point == shift else 0.0
    return total


def _settled_base(options: Sequence[str], notation: PointNotation, series: Series, found: Anomalies) -> int:
    """The base as read; where the text leaves it open, the other if only that one finds the worst point."""
    if notation.base_is_given or not notation.by_position:
        return notation.base
    worst = int(np.argmax(found.scores)) if found.shift is None or found.found else found.shift

    def finds(base: int) -> bool:
        return any(worst in (parse_points(option, notation, series, base) or []) for option in options)

    other = 1 - notation.base
    return other if finds(other) and not finds(notation.base) else notation.base


def _claim_scores(options: Sequence[str], series: Series, found: Anomalies) -> list[float]:
    """From -5 to 0 for how well the options' words fit, where at least two tell different patterns, or 0."""
    claims = [None if denies_anomaly(option) else read_claim(option) for option in options]
    if len({claim.meanings for claim in claims if claim}) < 2:
        return [0.0] * len(options)
    fits = fit_patterns(series.values, series.resolution, found.found)
    costs = _costs(claims, fits, series)
    best = min(costs)
    return [0.0 if claim is None else max(-5.0, (best - c) / 4) for claim, c in zip(claims, costs, strict=True)]


def _described(found: Anomalies, series: Series) -> str:
    if found.found:
        shown = ", ".join(f"{i} ({series.values[i]:.6g})" for i in found.found[:8])
        return f"values far from the others ({found.fit} fit) at index {shown}"
    if found.shift is not None:
        return f"level shift at index {found.shift}"
    worst = int(np.argmax(found.scores))
    shown = f"index {worst} ({series.values[worst]:.6g})"
    return f"nothing far out; {shown} is the furthest, at {found.scores[worst]:.2g} deviations"


def judge_count(question: SeriesQuestion) -> Verdict:
    options, series = question.options, question.series
    found = find_anomalies(series.values, series.resolution)
    counts = [0.0 if denies_anomaly(option) else next(iter(parse_values(option, "")), None) for option in options]
    scores = tuple(-float("inf") if count is None else -abs(count - len(found.found)) for count in counts)
    return Verdict(scores, f"{len(found.found)} found: {_described(found, series)}")


def judge_change(question: SeriesQuestion) -> Verdict:
    text, options, series = question.text, question.options, question.series
    fits = fit_patterns(series.values, series.resolution)
    note = next((fit.note for fit in fits if "shift" in fit.tags), None)
    if note is None:
        return Verdict((-float("inf"),) * len(options), "too few values for a level shift")
    at = int(note.rsplit(" ", 1)[1])
    notation = detect_notation(text, options, series)
    places = [parse_points(option, notation, series, notation.base) for option in options]
    # Of values that occur twice, the one nearest the shift is meant.
    scores = [-float("inf") if not p else -min(abs(i - at) if i >= 0 else 1e9 for i in p) for p in places]
    return Verdict(tuple(map(float, scores)), note)


def judge_period(question: SeriesQuestion) -> Verdict:
    options, series = question.options, question.series
    cleaned = find_anomalies(series.values, series.resolution).cleaned
    period = season_length(cleaned)
    if period is None:
        scores = [0.0 if denies_anomaly(option) else -float("inf") for option in options]
        return Verdict(tuple(scores), "no season stands out")
    listed = [next(iter(parse_values(option, "")), None) for option in options]
    nearness = [-float("inf") if value is None else -abs(value - period) for value in listed]
    return Verdict(tuple(nearness), f"season of period {period:.4g}")


def judge_pattern(question: SeriesQuestion) -> Verdict:
    """The option whose claim is borne out by the model of lowest BIC."""
    series = question.series
    found = find_anomalies(series.values, series.resolution)
    fits = fit_patterns(series.values, series.resolution, found.found)
    costs = _costs([_claim(option) for option in question.options], fits, series)
    period = season_length(found.cleaned)
    off = [WRONG_PERIOD if _wrong_period(option, period) else 0.0 for option in question.options]
    return Verdict(tuple(-c - o for c, o in zip(costs, off, strict=True)), f"best explained by: {fits[0].note}")


def _wrong_period(option: str, period: float | None) -> bool:
    claimed = parse_period(option)
    return claimed is not None and (period is None or abs(claimed - period) > 0.15 * period)


def _claim(option: str) -> Claim | None:
    return read_claim(option) or (Claim((frozenset({"stable"}),)) if denies_anomaly(option) else None)


def _costs(claims: Sequence[Claim | None], fits: Sequence[Fit], series: Series) -> list[float]:
    size = float(np.mean(np.abs(series.values)))
    share = float(np.std(series.values)) / size if size > 0 else 0.0
    return [float("inf") if claim is None else cost(claim, fits, share) for claim in claims]


def _history(values: Array, resolution: float) -> Array:
    """The values to foretell from: a few outliers mended, but not the newest, which may show where it is going."""
    found = find_anomalies(values, resolution)
    few = len(found.found) <= max(1, len(values) // 15) and all(i < len(values) - 3 for i in found.found)
    return found.cleaned if few else values


def judge_forecast(question: SeriesQuestion) -> Verdict:
    """The option nearest the forecast, in mean absolute distance."""
    options, series = question.options, question.series
    past = _history(series.values, series.resolution)
    wanted = [parse_intervals(option, series.unit) for option in options]
    if sum(map(bool, wanted)) * 2 < len(options):
        return judge_direction(options, past)
    longest = max(map(len, wanted))
    ahead = forecast(past, longest)
    scale = max(float(np.ptp(past)), series.resolution)
    scores = [-_distance(intervals, ahead.values, longest) / scale for intervals in wanted]
    shown = ", ".join(f"{value:.6g}" for value in ahead.values[:8])
    return Verdict(tuple(scores), f"forecast {shown} ({ahead.method}, error {ahead.error:.3g} on the last values)")


def _distance(intervals: Sequence[Interval], values: Array, longest: int) -> float:
    """Mean distance of an option's values from the forecast; short options only where none is longer."""
    pairs = list(zip(intervals, values, strict=False))
    if not pairs:
        return float("inf")
    outside = [interval.distance(float(value)) for interval, value in pairs]
    off_middle = [abs(interval.middle - float(value)) for interval, value in pairs]
    # Touching ranges both contain their border: the one whose middle is nearer is meant.
    return (sum(outside) + 1e-6 * sum(off_middle)) / len(pairs) * (longest / len(pairs))


def judge_direction(options: Sequence[str], past: Array) -> Verdict:
    """Up, down or unchanged: the forecast's next values against the last one, in units of the usual step."""
    ahead = forecast(past, 3)
    change = float(np.mean(ahead.values) - past[-1])
    usual = max(float(np.median(np.abs(np.diff(past)))), 1e-9 * float(np.max(np.abs(past))))
    way = 0.0 if abs(change) < 0.25 * usual else change
    scores = [_direction_score(read_claim(option), way) for option in options]
    return Verdict(tuple(scores), f"forecast changes by {change:.4g} ({ahead.method})")


def _direction_score(claim: Claim | None, way: float) -> float:
    if claim is None or not claim.meanings:
        return -float("inf")
    meaning = claim.meanings[0]
    claimed = 1.0 if "up" in meaning else -1.0 if "down" in meaning else 0.0
    return -abs(claimed - float(np.sign(way)))
