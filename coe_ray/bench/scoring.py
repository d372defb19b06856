"""Scoring: records of a run → answers of every system → figures. Pure: equal records give equal summaries.

Records are taken one after the other and only counts are kept, so that memory does not grow with the run.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from coe_ray.analysis.mapping import Counts, cross_fit, fold_of, make_board
from coe_ray.analysis.metrics import Graded, classifier_metrics, outcome_of, system_metrics
from coe_ray.core.run_folder import QuestionRecord
from coe_ray.core.types import UNKNOWN, Classification, Provenance, Question
from coe_ray.routing.leaderboard import Leaderboard
from coe_ray.routing.router import choose_expert

COE = "coe"

Row = dict[str, Any]

_NO_ROUTE = {"error": "DataError", "message": "every call to an expert failed: there is no leaderboard to route by"}


Boards: TypeAlias = Mapping[str, Leaderboard]
"""The leaderboard that routes each question, by the question's id; empty where no expert has answered anything."""


def expert_rows(questions: Mapping[str, Question], records: Iterable[QuestionRecord]) -> Iterator[Row]:
    """One row a question and expert, as `answers/` holds them."""
    for record in records:
        for expert, answer in record["answers"].items():
            yield _row(expert, expert, questions[record["id"]], record, answer)


def all_rows(questions: Mapping[str, Question], records: Iterable[QuestionRecord], boards: Boards) -> Iterator[Row]:
    """Each question's rows together: every expert's, then CoE's, which is the answer of the expert that is routed."""
    for record in records:
        yield from expert_rows(questions, [record])
        yield _coe_row(questions[record["id"]], record, boards.get(record["id"]))


def _coe_row(question: Question, record: QuestionRecord, board: Leaderboard | None) -> Row:
    label = record["classification"]
    if label is None:
        return _row(COE, None, question, record, record["classification_error"])
    if board is None:
        return _row(COE, None, question, record, _NO_ROUTE)
    decision = choose_expert(Classification(label["task"], label["rule"], label["raw"], label["confidence"]), board)
    return _row(COE, decision.expert, question, record, record["answers"][decision.expert])


def _row(system: str, expert: str | None, question: Question, record: QuestionRecord, answer: Mapping[str, Any]) -> Row:
    label = record["classification"]
    return {
        "question_id": question.id,
        "system": system,
        "task": question.task,
        "label": label["task"] if system == COE and label else None,
        "expert": expert,
        "answer": question.answer,
        "letter": answer.get("letter"),
        "outcome": outcome_of(question, answer),
        **{name: answer.get(name) for name in _COPIED},
    }


_COPIED = (
    *("rule", "text", "finish_reason", "error", "message"),
    *("attempts", "prompt_tokens", "completion_tokens", "seconds"),
)


def board_of(rows: Iterable[Row], provenance: Provenance = Provenance()) -> Leaderboard:
    """The leaderboard of these answers of single experts, without failed calls, which say nothing about skill."""
    return make_board(_count(rows, {}), provenance=provenance)


def cross_fitted(rows: Iterable[Row], questions: Mapping[str, Question]) -> tuple[Boards, Leaderboard | None]:
    """For each question the leaderboard of the other folds, so that neither it nor a near duplicate routes itself; and
    the leaderboard of all answers.

    With answers in one fold only, all answers make the one leaderboard. Without any answer there is none.
    """
    folds = {id_: fold_of(question) for id_, question in questions.items()}
    counts = _count(rows, folds)
    if not counts:
        return {}, None
    by_fold = cross_fit(counts)
    return {id_: by_fold[fold] for id_, fold in folds.items()}, make_board(counts)


def _count(rows: Iterable[Row], folds: Mapping[str, int]) -> Counts:
    correct: Counter[tuple[int, str, str]] = Counter()
    total: Counter[tuple[int, str, str]] = Counter()
    for row in rows:
        if row["outcome"] != "failed":
            key = folds.get(row["question_id"], 0), row["expert"], row["task"]
            total[key] += 1
            correct[key] += row["outcome"] == "correct"
    return {key: (correct[key], count) for key, count in total.items()}


@dataclass(slots=True)
class Ledger:
    """Counts of outcomes per system: correct, wrong, unparsed, refused, failed. `cut_off`: answers at `max_tokens`."""

    systems: dict[str, Counter[Graded]] = field(default_factory=dict)
    cut_off: Counter[str] = field(default_factory=Counter)
    labels: Counter[tuple[str, str]] = field(default_factory=Counter)
    asked: int = 0

    def count(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The same rows, counted as they pass."""
        for row in rows:
            graded = Graded(row["task"] or UNKNOWN, row["answer"] or "", row["letter"], row["outcome"])
            self.systems.setdefault(row["system"], Counter())[graded] += 1
            # One token is all that is wanted of a next-token prompt.
            self.cut_off[row["system"]] += row["finish_reason"] == "length" and row["rule"] != "next token"
            if row["system"] == COE:
                self.asked += 1
                if row["label"] is not None:
                    self.labels[graded.task, row["label"]] += 1
            yield row

    def figures(self, questions: Mapping[str, Question]) -> dict[str, Any]:
        """The part of `summary.json` that follows from the answers alone."""
        # A classifier may name tasks of the profile that no question has.
        named = {label for _, label in self.labels}
        tasks = sorted({question.task or UNKNOWN for question in questions.values()} | (named - {UNKNOWN}))
        names = sorted(self.systems, key=lambda name: (name != COE, name))
        failed = any(row.outcome == "failed" for counts in self.systems.values() for row in counts)
        return {
            "rows": len(questions),
            "incomplete": failed or self.asked < len(questions),
            "systems": {name: system_metrics(self.systems[name]) | {"cut_off": self.cut_off[name]} for name in names},
            "classifier": classifier_metrics(self.labels, tasks),
        }
