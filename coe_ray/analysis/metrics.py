"""Metrics of graded answers and of classified questions. Pure; the results are plain JSON data.

Every accuracy, precision, recall, F1 and interval end is a fraction in [0, 1], or `None` where there was
nothing to count: never NaN, which JSON does not know.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sklearn.metrics import precision_recall_fscore_support

from coe_ray.core.types import OUTCOMES, UNKNOWN, Outcome, Question
from coe_ray.core.wilson import wilson_interval

NO_LETTER = ""
"""The predicted class of an unparsed or refused answer; no question has it as its true class."""


@dataclass(frozen=True, slots=True)
class Graded:
    """Outcome of one answer to a question with the right letter `answer`."""

    task: str
    answer: str
    letter: str | None
    outcome: Outcome


def grade(letter: str | None, answer: str, *, refused: bool = False, failed: bool = False) -> Outcome:
    """Outcome of an answer. No reply at all outweighs a refusal, and a refusal any letter found in it."""
    if failed:
        return "failed"
    if refused:
        return "refused"
    if letter is None:
        return "unparsed"
    return "correct" if letter == answer else "wrong"


def outcome_of(question: Question, answer: Mapping[str, Any]) -> Outcome:
    """Outcome of an answer of a record."""
    refused = bool(answer.get("refused"))
    failed = "error" in answer and not refused
    return grade(answer.get("letter"), question.answer or "", refused=refused, failed=failed)


def system_metrics(answers: Iterable[Graded] | Counter[Graded]) -> dict[str, object]:
    """All figures of one system, over everything but failed calls: an outage says nothing about skill.

    Precision, recall and F1 are weighted by class size; the classes are the letters, and an answer without a
    letter is one more predicted class without true members (the paper's "Metrics"). `bounds` are the accuracies
    if every answer that has no letter, and every failed call, were wrong, or right.
    """
    rows = Counter(answers)
    outcomes: Counter[Outcome] = Counter()
    letters: Counter[tuple[str, str]] = Counter()
    for row, count in rows.items():
        outcomes[row.outcome] += count
        if row.outcome != "failed":
            letters[row.answer, NO_LETTER if row.outcome == "refused" else row.letter or NO_LETTER] += count
    return {
        **_accuracy(outcomes["correct"], letters.total()),
        "bounds": _bounds(outcomes),
        **_weighted(letters),
        **{outcome: outcomes[outcome] for outcome in OUTCOMES},
        "complete": outcomes["failed"] == 0,
        "per_task": _per_task(rows),
    }


def classifier_metrics(
    pairs: Iterable[tuple[str, str]] | Counter[tuple[str, str]], tasks: Sequence[str]
) -> dict[str, object]:
    """Figures of the task classifier from (true task, named task) pairs.

    The confusion matrix has a row for every one of `tasks`, in that order, and one column more than rows: the
    last is `unknown`. Raises ValueError for a label that has no place in it.
    """
    labels = [*tasks, UNKNOWN]
    counts = Counter(pairs)
    if strangers := {true for true, _ in counts} - {*tasks} | {named for _, named in counts} - {*labels}:
        raise ValueError(f"labels {sorted(strangers)} are not among the tasks {list(tasks)}")  # they would vanish
    return {
        **_accuracy(sum(counts[task, task] for task in tasks), counts.total()),
        **_weighted(counts),
        "total": counts.total(),
        "confusion": {"labels": labels, "matrix": [[counts[true, named] for named in labels] for true in tasks]},
    }


def _bounds(outcomes: Counter[Outcome]) -> list[float] | None:
    total = outcomes.total()
    return [outcomes["correct"] / total, (total - outcomes["wrong"]) / total] if total else None


def _per_task(rows: Counter[Graded]) -> dict[str, dict[str, object]]:
    """Figures by task, in alphabetical order; `total` is what accuracy is over: failed rows are not in it."""
    counts: defaultdict[str, Counter[Outcome]] = defaultdict(Counter)
    for row, count in rows.items():
        counts[row.task][row.outcome] += count
    figures = {}
    for task, outcomes in sorted(counts.items()):
        correct, failed = outcomes["correct"], outcomes["failed"]
        total = outcomes.total() - failed
        figures[task] = {**_accuracy(correct, total), "correct": correct, "total": total, "failed": failed}
    return figures


def _accuracy(correct: int, total: int) -> dict[str, object]:
    """Accuracy with its 95 % Wilson score interval."""
    if total == 0:
        return {"accuracy": None, "ci95": None}
    return {"accuracy": correct / total, "ci95": list(wilson_interval(correct, total))}


def _weighted(pairs: Counter[tuple[str, str]]) -> dict[str, float | None]:
    """Precision, recall and F1 of (true, predicted) pairs, weighted by the number of true members."""
    names = ("precision", "recall", "f1")
    if not pairs:
        return dict.fromkeys(names)
    true, predicted = zip(*pairs, strict=True)
    *figures, _ = precision_recall_fscore_support(
        true, predicted, average="weighted", zero_division=0, sample_weight=list(pairs.values())
    )
    # Rounding in the library can end a hair outside of [0, 1].
    return {name: min(1.0, max(0.0, float(value))) for name, value in zip(names, figures, strict=True)}
