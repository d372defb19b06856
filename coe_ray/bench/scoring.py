"""Records of a run → answers of every system → figures. Pure: the same records always give the same summary."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from coe_ray.bench.metrics import Graded, classifier_metrics, grade, system_metrics
from coe_ray.leaderboard import Leaderboard
from coe_ray.route import route
from coe_ray.runs import Record
from coe_ray.types import UNKNOWN, Classification, Outcome, Provenance, Question

COE = "coe"
FOLDS = 5

Row = dict[str, Any]

_NO_ROUTE = {"error": "DataError", "message": "every call to an expert failed: there is no leaderboard to route by"}


def expert_rows(questions: Mapping[str, Question], records: Iterable[Record]) -> list[Row]:
    """One row a question and expert, as `answers/` holds them."""
    return [
        _row(expert, expert, questions[record["id"]], record, said)
        for record in records
        for expert, said in record["answers"].items()
    ]


def coe_rows(
    questions: Mapping[str, Question], records: Iterable[Record], boards: Mapping[str, Leaderboard]
) -> list[Row]:
    """One row a question: the answer of the expert that the route names.

    `boards` has a leaderboard by question id; it lacks those for whose route there are no answers to go by.
    """
    return [_coe_row(questions[record["id"]], record, boards.get(record["id"])) for record in records]


def _coe_row(question: Question, record: Record, board: Leaderboard | None) -> Row:
    label = record["classification"]
    if label is None:
        return _row(COE, None, question, record, record["classification_error"])
    if board is None:
        return _row(COE, None, question, record, _NO_ROUTE)
    decision = route(Classification(label["task"], label["rule"], label["raw"], label["confidence"]), board)
    return _row(COE, decision.expert, question, record, record["answers"][decision.expert])


def _row(system: str, expert: str | None, question: Question, record: Record, said: Mapping[str, Any]) -> Row:
    label = record["classification"]
    return {
        "question_id": question.id,
        "system": system,
        "task": question.task,
        "label": label["task"] if system == COE and label else None,
        "expert": expert,
        "answer": question.answer,
        "letter": said.get("letter"),
        "outcome": _outcome(question, said),
        **{name: said.get(name) for name in _CARRIED},
    }


_CARRIED = ("rule", "text", "error", "message", "attempts", "prompt_tokens", "completion_tokens", "seconds")


def _outcome(question: Question, said: Mapping[str, Any]) -> Outcome:
    refused = bool(said.get("refused"))
    failed = "error" in said and not refused
    return grade(said.get("letter"), question.answer or "", refused=refused, failed=failed)


def board_of(rows: Iterable[Row], provenance: Provenance = Provenance()) -> Leaderboard:
    """The leaderboard of these answers of single experts; failed calls say nothing about skill and stay out."""
    total: Counter[tuple[str, str]] = Counter()
    correct: Counter[tuple[str, str]] = Counter()
    for row in rows:
        if row["outcome"] != "failed":
            total[row["expert"], row["task"]] += 1
            correct[row["expert"], row["task"]] += row["outcome"] == "correct"
    scores = ((expert, task, correct[expert, task], count) for (expert, task), count in total.items())
    return Leaderboard.from_scores(scores, provenance)


def cross_fitted(rows: Sequence[Row]) -> dict[str, Leaderboard]:
    """For every question the leaderboard of the other folds' answers: no question routes itself.

    With answers in one fold only there are no others; then all answers make the one leaderboard. Without any
    answer there is none.
    """
    folds = {row["question_id"]: _fold(row["question_id"]) for row in rows}
    answered = [row for row in rows if row["outcome"] != "failed"]
    if not answered:
        return {}
    boards = {}
    for fold in set(folds.values()):
        others = [row for row in answered if folds[row["question_id"]] != fold]
        boards[fold] = board_of(others or answered)
    return {question: boards[fold] for question, fold in folds.items()}


def _fold(question_id: str) -> int:
    return int(hashlib.sha256(question_id.encode()).hexdigest(), 16) % FOLDS


def figures(rows: Sequence[Row], records: Sequence[Record], questions: Mapping[str, Question]) -> dict[str, Any]:
    """The part of `summary.json` that follows from the answers alone."""
    systems: dict[str, list[Graded]] = {}
    for row in rows:
        graded = Graded(row["system"], row["question_id"], row["task"], row["answer"], row["letter"], row["outcome"])
        systems.setdefault(row["system"], []).append(graded)
    tasks = sorted({question.task or UNKNOWN for question in questions.values()})
    measured = {name: system_metrics(systems[name]) for name in sorted(systems, key=lambda name: (name != COE, name))}
    return {
        "rows": len(questions),
        "incomplete": any(row["outcome"] == "failed" for row in rows) or len(records) < len(questions),
        "systems": measured,
        "classifier": classifier_metrics(_labels(records, questions), tasks),
        "calls": _calls(records),
    }


def _labels(records: Sequence[Record], questions: Mapping[str, Question]) -> list[tuple[str, str]]:
    return [
        (questions[record["id"]].task or UNKNOWN, record["classification"]["task"])
        for record in records
        if record["classification"] is not None
    ]


def _calls(records: Sequence[Record]) -> dict[str, int]:
    """Calls to models; CoE's answers are `reused`, since each is an answer that an expert gave already."""
    made = [call for record in records for call in (_first_stage(record), *record["answers"].values())]
    return {
        "issued": len(made),
        "reused": sum(record["classification"] is not None for record in records),
        "retried": sum((call.get("attempts") or 1) - 1 for call in made),
        "failed": sum("error" in call and not call.get("refused") for call in made),
    }


def _first_stage(record: Record) -> Mapping[str, Any]:
    made: Mapping[str, Any] = record["classification"] or record["classification_error"]
    return made
