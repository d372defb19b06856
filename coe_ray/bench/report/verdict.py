"""Verdict of a run, in sentences: is CoE better than the best single expert, by how much, and how sure is that?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coe_ray.bench.report.formatting import count, interval, p_value, percent, points, round_count
from coe_ray.bench.report.sections import scored_experts
from coe_ray.bench.scoring import COE

SURE, FAIRLY_SURE = 0.01, 0.05
"""p values below which a difference is called so."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The run in a few sentences. The `rival` completes the headline, where there is one to compare with.

    `sure` is how sure that is, in a word or two, and `reasons` say it at length; `warning` is empty when every answer
    came in. `facts` are the figures behind them, (term, value).
    """

    headline: str
    detail: str
    warning: str
    rival: str = ""
    sure: str = ""
    reasons: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()


def make_verdict(summary: Mapping[str, Any]) -> Verdict:
    """Paired, on the questions that all systems answered; without such, by each system's own figures."""
    return _paired(summary, summary["verdict"]) if summary.get("verdict") else _unpaired(summary)


def completeness_warning(summary: Mapping[str, Any]) -> str:
    """Why the figures are not final; empty when they are."""
    failed = sum(system["failed"] for system in summary["systems"].values())
    if failed:
        answers = "1 answer failed and is" if failed == 1 else f"{failed:,} answers failed and are"
        return f"Incomplete: {answers} left out, so systems may not be scored on the same questions."
    again = "The same command, run again, goes on from here."
    return f"Incomplete: not every question has been answered. {again}" if summary["incomplete"] else ""


def _paired(summary: Mapping[str, Any], paired: Mapping[str, Any]) -> Verdict:
    sure, because = _surety(paired)
    low, high = points(paired["low"]), points(paired["high"])
    between = f"The difference lies between {low} and {high} points (95% interval)."
    reasons = (because, between, _disagreement(paired), _needed(paired))
    return Verdict(
        f"CoE is {_difference(paired['difference'])}",
        _shares(summary, paired),
        completeness_warning(summary),
        rival=paired["best_single"],
        sure=sure,
        reasons=tuple(filter(None, reasons)),
        facts=_facts(paired),
    )


def _difference(accuracy: float) -> str:
    written = points(abs(accuracy))
    if written == "0.0":
        return "level with"
    return f"{written.removeprefix('+')} points {'above' if accuracy > 0 else 'below'}"


def _shares(summary: Mapping[str, Any], paired: Mapping[str, Any]) -> str:
    compared, rows = paired["questions"], summary["rows"]
    of_all = "" if compared == rows else f" of {count(rows)}"
    where = f"On the {count(compared)}{of_all} questions that every expert answered"
    losses = summary.get("losses")
    if losses is None:
        return f"{where}, compared question by question with the best single expert."
    best = losses["coe"] - paired["difference"]
    return (
        f"{where}, {percent(losses['coe'])}% of CoE’s answers are right, and {percent(best)}% of those of the best "
        "single expert, which is chosen in hindsight, on these very answers."
    )


def _surety(paired: Mapping[str, Any]) -> tuple[str, str]:
    p = paired["p_bootstrap"]
    if paired["only_first"] == paired["only_second"]:
        return "No difference.", "Each of the two is right where the other is wrong equally often."
    grade = "Very sure." if p < SURE else "Fairly sure." if p < FAIRLY_SURE else "Not sure."
    return grade, f"If the two were equally good, a difference this large would come up in {_frequency(p)}."


def _frequency(p: float) -> str:
    if p < 0.001:
        return "fewer than 1 of 1,000 such runs"
    if p < SURE:
        return f"about {round(1000 * p)} of 1,000 such runs"
    return f"about {round(100 * p)} of 100 such runs" if p < 0.995 else "nearly every such run"


def _disagreement(paired: Mapping[str, Any]) -> str:
    """Near 5 % the two can part: see `statistics.compare`."""
    excludes_zero = paired["low"] > 0 or paired["high"] < 0
    if excludes_zero == (paired["p_bootstrap"] < FAIRLY_SURE):
        return ""
    return "Interval and test disagree, as they can near 5%; the test is the one to believe."


def _needed(paired: Mapping[str, Any]) -> str:
    needed, compared = paired.get("needed"), paired["questions"]
    if needed is None:
        return ""
    about = f"about {round_count(needed)}"
    if paired["p_bootstrap"] < FAIRLY_SURE:
        return f"{about.capitalize()} questions are enough to see a difference of this size four times out of five."
    if needed > compared:
        return f"It would take {about} questions to tell the two apart; this run has {count(compared)}."
    return (
        f"{about.capitalize()} independent questions would do to tell the two apart; "
        f"this run’s {count(compared)} resemble each other within their categories."
    )


def _facts(paired: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    facts = [
        ("Difference, points", points(paired["difference"])),
        ("95% interval", f"{points(paired['low'])} to {points(paired['high'])}"),
        ("p, bootstrap", p_value(paired["p_bootstrap"])),
        ("p, McNemar", p_value(paired["p_mcnemar"])),
        ("Only CoE right", count(paired["only_first"])),
        ("Only the other right", count(paired["only_second"])),
        ("Questions", count(paired["questions"])),
    ]
    needed = paired.get("needed")
    return (*facts, *([] if needed is None else [("Questions needed", count(needed))]))


def _unpaired(summary: Mapping[str, Any]) -> Verdict:
    """CoE against the best single expert, as far as both have figures."""
    systems, warning = summary["systems"], completeness_warning(summary)
    coe, experts = systems[COE], scored_experts(systems)
    if coe["accuracy"] is None:
        return Verdict("No answer of CoE could be scored", "There is nothing to compare yet.", warning)
    if not experts:
        headline = f"CoE answers {percent(coe['accuracy'])}% of the questions right"
        return Verdict(headline, "The run has no figures of a single expert to compare with.", warning)
    best = systems[experts[0]]
    headline = f"CoE is {_difference(coe['accuracy'] - best['accuracy'])}"
    return Verdict(headline, _comparison(coe, best), warning, rival=experts[0])


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
