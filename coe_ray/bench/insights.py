"""What a run's records say beyond accuracies: how sure the verdict is, what is lost where, costs, and misroutes.

Records are taken one after the other and their texts forgotten, but for the few misroutes that are shown.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from coe_ray.analysis.losses import losses, regret
from coe_ray.analysis.matrix import OWN, Ints, Matrix
from coe_ray.analysis.metrics import outcome_of
from coe_ray.analysis.statistics import accuracy_interval, compare
from coe_ray.analysis.systems import alone, majority, question_oracle, random_expert, routed
from coe_ray.bench.scoring import COE, Boards
from coe_ray.config import Profile
from coe_ray.errors import DataError
from coe_ray.leaderboard import Leaderboard
from coe_ray.model_config import ApiModel
from coe_ray.runs import Record
from coe_ray.types import UNKNOWN, Question

SHOWN = 8
"""Misroutes that are shown: those that the classifier was surest of."""

LONGEST = 1200
"""Characters of a text that is shown."""


class Insights:
    """Takes records, then tells. A run with failed calls tells of the questions without any."""

    def __init__(self, profile: Profile, questions: Mapping[str, Question], boards: Boards) -> None:
        self._profile = profile
        self._questions = questions
        self._boards = boards
        self._matrix: Matrix | None = None
        self._label_tokens = [0, 0]
        self._misroutes: list[tuple[float, str, dict[str, Any]]] = []

    def take(self, records: Iterable[Record]) -> None:
        """All of a run's records. Without a record there is nothing to tell."""
        try:
            self._matrix = Matrix.from_records(self._questions, self._seen(records)).complete()
        except DataError:
            return

    def told(self) -> dict[str, Any]:
        """Parts of `summary.json`; `None` each where nothing is complete enough."""
        matrix = self._matrix
        if matrix is None or not matrix.size:
            return dict.fromkeys(("verdict", "bounds", "losses", "regret", "costs"), None) | {"misroutes": []}
        picked, best = self._picked(matrix, matrix.labels[OWN]), self._picked(matrix, matrix.tasks)
        named, true = np.array(matrix.labels[OWN]), np.array(matrix.tasks)
        unknown = named == UNKNOWN
        lost = losses(matrix.right, matrix.unread, picked, best, unknown, (named != true) & ~unknown)
        return {
            "verdict": self._verdict(matrix, picked),
            "bounds": self._bounds(matrix, best),
            "losses": asdict(lost) | {"total": lost.total},
            "regret": {task: asdict(each) for task, each in regret(matrix.right, picked, matrix.tasks).items()},
            "costs": self._costs(matrix, picked),
            "misroutes": [shown for _, _, shown in sorted(self._misroutes, key=lambda each: each[:2], reverse=True)],
        }

    def _seen(self, records: Iterable[Record]) -> Iterator[Record]:
        for record in records:
            label = record["classification"]
            if label is not None:
                usage = label.get("usage") or {}
                self._label_tokens[0] += usage.get("prompt_tokens", 0)
                self._label_tokens[1] += usage.get("completion_tokens", 0)
                self._note_misroute(record, label)
            yield record

    def _picked(self, matrix: Matrix, labels: Iterable[str | None]) -> Ints:
        """The expert that each question is sent to by such a label."""
        boards = (self._boards.board(question.id) for question in matrix.questions)
        picks = [matrix.experts.index(_best(board, label)) for board, label in zip(boards, labels, strict=True)]
        return np.array(picks, dtype=np.intp)

    def _verdict(self, matrix: Matrix, picked: Ints) -> dict[str, Any]:
        """CoE against the best single expert, paired."""
        single = min(matrix.experts, key=lambda name: (-alone(matrix, name).right.mean(), name))
        coe, best = routed(COE, matrix, picked), alone(matrix, single)
        found = compare(coe.right, best.right, matrix.clusters)
        interval = accuracy_interval(coe.right, matrix.clusters)
        return {"best_single": single, "questions": matrix.size, "method": interval.method, **asdict(found)}

    def _bounds(self, matrix: Matrix, best: Ints) -> dict[str, float]:
        oracle, vote = question_oracle("", matrix), majority("", matrix)
        return {
            "task_oracle": float(routed("", matrix, best).right.mean()),
            "question_oracle": float(oracle.right.mean()),
            "majority": float(vote.right.mean()),
            "random_expert": random_expert(matrix).accuracy,
        }

    def _costs(self, matrix: Matrix, picked: Ints) -> dict[str, dict[str, float | None]]:
        """Tokens and money of each system for the questions of the matrix; CoE pays its classifier and one expert."""
        systems = {name: matrix.tokens[:, row].sum(axis=1) for row, name in enumerate(matrix.experts)}
        costs = {name: self._cost(self._profile.experts[name].model, *tokens) for name, tokens in systems.items()}
        routed_tokens = matrix.tokens[:, picked, np.arange(matrix.size)]
        parts = [
            self._cost(self._profile.experts[name].model, *routed_tokens[:, picked == row].sum(axis=1))
            for row, name in enumerate(matrix.experts)
            if (picked == row).any()
        ]
        label = self._cost(self._profile.classifier.model, *self._label_tokens)
        whole = [label, *parts]
        tokens = {name: int(each.sum()) for name, each in systems.items()}
        tokens[COE] = int(routed_tokens.sum()) + sum(self._label_tokens)
        money = {**costs, COE: None if None in whole else sum(each or 0.0 for each in whole)}
        return {name: {"tokens": tokens[name], "cost": money[name]} for name in (COE, *matrix.experts)}

    def _cost(self, model: str, prompt_tokens: int, completion_tokens: int) -> float | None:
        """In the currency of the profile's prices; `None` where an API has none. What is not an API costs no tokens."""
        config = self._profile.models[model]
        if not isinstance(config, ApiModel):
            return None
        price = config.price
        if price is None:
            return None
        return float(prompt_tokens * price.input + completion_tokens * price.output) / 1e6

    def _note_misroute(self, record: Record, label: Mapping[str, Any]) -> None:
        """A question under a wrong label, whose expert was wrong where the true task's would have been right."""
        question, board = self._questions[record["id"]], self._boards.board(record["id"])
        if board is None or question.task is None or label["task"] == question.task:
            return
        asked, meant = _best(board, label["task"]), _best(board, question.task)
        outcomes = {name: outcome_of(question, said) for name, said in record["answers"].items()}
        if outcomes[meant] == "correct" and outcomes[asked] not in ("correct", "failed"):
            shown = _misroute(question, label, asked, meant, record["answers"])
            entry = (float(label["confidence"]), question.id, shown)
            keep = heapq.heappush if len(self._misroutes) < SHOWN else heapq.heappushpop
            keep(self._misroutes, entry)


def _best(board: Leaderboard | None, task: str | None) -> str:
    if board is None:
        raise DataError("there is no leaderboard to route by")
    standing = board.best(task) if task not in (None, UNKNOWN) else None
    return (standing or board.best_on_average()).expert


def _misroute(
    question: Question, label: Mapping[str, Any], asked: str, meant: str, answers: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    return {
        "question_id": question.id,
        "text": question.text[:LONGEST],
        "options": [option[:LONGEST] for option in question.options],
        "answer": question.answer,
        "task": question.task,
        "label": label["task"],
        "confidence": label["confidence"],
        "neighbours": [{"task": each["task"], "similarity": each["similarity"]} for each in label["neighbours"]],
        "asked": {"expert": asked, "letter": answers[asked].get("letter"), "text": _cut(answers[asked])},
        "meant": {"expert": meant, "letter": answers[meant].get("letter"), "text": _cut(answers[meant])},
    }


def _cut(said: Mapping[str, Any]) -> str:
    return str(said.get("text") or "")[-LONGEST:]  # the letter stands at the end
