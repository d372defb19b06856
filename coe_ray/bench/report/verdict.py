"""Is CoE better than the best single expert, by how much, and how sure is that? In sentences."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from coe_ray.bench.report.axes import Axis, linear
from coe_ray.bench.report.reading import best_expert
from coe_ray.bench.report.words import about, chance, count, interval, percent, points
from coe_ray.bench.scoring import COE

SURE, FAIRLY_SURE = 0.01, 0.05
"""p values below which a difference is called so."""


@dataclass(frozen=True, slots=True)
class Span:
    """The difference with its interval, on an axis of fractions that has zero on it."""

    low: float
    value: float
    high: float
    axis: Axis

    @classmethod
    def of(cls, low: float, value: float, high: float) -> "Span":
        return cls(low, value, high, linear((0.0, low, value, high)))


@dataclass(frozen=True, slots=True)
class Verdict:
    """The run in a few sentences. The `rival` completes the headline, where there is one to compare with.

    `sure` is how sure that is, in a word or two, and `why` says it at length; `caution` is empty when every answer
    came in. `facts` are the figures behind them, (term, value).
    """

    headline: str
    detail: str
    caution: str
    rival: str = ""
    sure: str = ""
    why: tuple[str, ...] = ()
    span: Span | None = None
    facts: tuple[tuple[str, str], ...] = field(default=())


def verdict(summary: Mapping[str, Any]) -> Verdict:
    """Paired, on the questions that all systems answered; without such, by each system's own figures."""
    found = summary.get("verdict")
    return _paired(summary, found) if found else _by_figures(summary)


def caution(summary: Mapping[str, Any]) -> str:
    """Why the figures are not final; empty when they are."""
    failed = sum(system["failed"] for system in summary["systems"].values())
    if failed:
        what = "1 answer failed and is" if failed == 1 else f"{failed:,} answers failed and are"
        return f"Incomplete: {what} left out, so systems may not be scored on the same questions."
    again = "The same command, run again, goes on from here."
    return f"Incomplete: not every question has been answered. {again}" if summary["incomplete"] else ""


# Paired


def _paired(summary: Mapping[str, Any], found: Mapping[str, Any]) -> Verdict:
    sure, because = _surety(found)
    why = (because, _range(found), _disagreement(found), _needed(found))
    return Verdict(
        f"CoE is {_difference(found['difference'])}",
        _shares(summary, found),
        caution(summary),
        rival=found["best_single"],
        sure=sure,
        why=tuple(sentence for sentence in why if sentence),
        span=Span.of(found["low"], found["difference"], found["high"]),
        facts=_facts(found),
    )


def _difference(accuracy: float) -> str:
    shown = points(abs(accuracy))
    if shown == "0.0":
        return "level with"
    return f"{shown.removeprefix('+')} points {'above' if accuracy > 0 else 'below'}"


def _shares(summary: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    asked, rows = found["questions"], summary["rows"]
    which = f"the {count(asked)} questions" if asked == rows else f"the {count(asked)} of {count(rows)} questions"
    where = f"On {which} that every expert answered"
    lost = summary.get("losses")
    if lost is None:
        return f"{where}, compared question by question with the best single expert."
    best = lost["coe"] - found["difference"]
    return (
        f"{where}, {percent(lost['coe'])}% of CoE’s answers are right, and {percent(best)}% of those of the best "
        "single expert, which is chosen in hindsight, on these very answers."
    )


def _surety(found: Mapping[str, Any]) -> tuple[str, str]:
    p = found["p_bootstrap"]
    if found["only_first"] == found["only_second"]:
        return "No difference.", "Each of the two is right where the other is wrong equally often."
    grade = "Very sure." if p < SURE else "Fairly sure." if p < FAIRLY_SURE else "Not sure."
    return grade, f"If the two were equally good, a difference this large would come up in {_frequency(p)}."


def _frequency(p: float) -> str:
    if p < 0.001:
        return "fewer than 1 of 1,000 such runs"
    if p < SURE:
        return f"about {round(1000 * p)} of 1,000 such runs"
    return f"about {round(100 * p)} of 100 such runs" if p < 0.995 else "nearly every such run"


def _range(found: Mapping[str, Any]) -> str:
    return f"The difference lies between {points(found['low'])} and {points(found['high'])} points (95% interval)."


def _disagreement(found: Mapping[str, Any]) -> str:
    """Near 5 % the two can part: see `statistics.compare`."""
    excludes = found["low"] > 0 or found["high"] < 0
    if excludes == (found["p_bootstrap"] < FAIRLY_SURE):
        return ""
    return "Interval and test disagree, as they can near 5%; the test is the one to believe."


def _needed(found: Mapping[str, Any]) -> str:
    needed, asked = found.get("needed"), found["questions"]
    if needed is None:
        return ""
    if found["p_bootstrap"] < FAIRLY_SURE:
        return f"About {about(needed)} questions are enough to see a difference of this size four times out of five."
    if needed > asked:
        return f"It would take about {about(needed)} questions to tell the two apart; this run has {count(asked)}."
    return (
        f"About {about(needed)} independent questions would do to tell the two apart; "
        f"this run’s {count(asked)} resemble each other within their categories."
    )


def _facts(found: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    facts = [
        ("Difference, points", points(found["difference"])),
        ("95% interval", f"{points(found['low'])} to {points(found['high'])}"),
        ("p, bootstrap", chance(found["p_bootstrap"])),
        ("p, McNemar", chance(found["p_mcnemar"])),
        ("Only CoE right", count(found["only_first"])),
        ("Only the other right", count(found["only_second"])),
        ("Questions", count(found["questions"])),
    ]
    if found.get("needed") is not None:
        facts.append(("Questions needed", count(found["needed"])))
    return tuple(facts)


# By each system's own figures


def _by_figures(summary: Mapping[str, Any]) -> Verdict:
    """CoE against the best single expert, as far as both have figures."""
    coe, name = summary["systems"][COE], best_expert(summary["systems"])
    if coe["accuracy"] is None:
        return Verdict("No answer of CoE could be scored", "There is nothing to compare yet.", caution(summary))
    if name is None:
        headline = f"CoE answers {percent(coe['accuracy'])}% of the questions right"
        return Verdict(headline, "The run has no figures of a single expert to compare with.", caution(summary))
    best = summary["systems"][name]
    headline = f"CoE is {_difference(coe['accuracy'] - best['accuracy'])}"
    return Verdict(headline, _comparison(coe, best), caution(summary), rival=name)


def _comparison(coe: Mapping[str, Any], best: Mapping[str, Any]) -> str:
    (low, high), (best_low, best_high) = coe["ci95"], best["ci95"]
    overlap = (
        "The intervals overlap: these figures alone do not tell the two apart."
        if low <= best_high and best_low <= high
        else "The intervals do not overlap."
    )
    return (
        f"{percent(coe['accuracy'])}% of answers are right (95% interval {interval(coe['ci95'])}), against "
        f"{percent(best['accuracy'])}% ({interval(best['ci95'])}) for the best single expert. {overlap}"
    )
