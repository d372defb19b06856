"""Insights into a run beyond accuracies: verdict with its certainty, bounds, losses, regret, costs and misroutes.

Records pass one after the other; their texts are not kept, but for the few misroutes that are shown.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from coe_ray.analysis.losses import losses, regret
from coe_ray.analysis.mapping import TaskMap
from coe_ray.analysis.matrix import OWN, Bools, Ints, Matrix
from coe_ray.analysis.metrics import outcome_of
from coe_ray.analysis.statistics import accuracy_interval, compare
from coe_ray.analysis.systems import alone, majority, question_oracle, random_expert, routed
from coe_ray.bench.scoring import COE, Boards
from coe_ray.core.errors import DataError
from coe_ray.core.run_folder import QuestionRecord
from coe_ray.core.types import UNKNOWN, Question
from coe_ray.profile.models import PythonModel
from coe_ray.profile.profile import Profile
from coe_ray.routing.router import rank_experts

SHOWN = 8
"""Misroutes that are shown: those that the classifier was surest of."""

LONGEST = 1200
"""Characters of a text that is shown."""


class Insights:
    """Insights over a run's questions without failed calls: first `add` its records, then take the `summary`."""

    def __init__(self, profile: Profile, questions: Mapping[str, Question], boards: Boards) -> None:
        self._profile = profile
        self._questions = questions
        self._boards = boards
        self._matrix: Matrix | None = None
        self._label_tokens: dict[str, tuple[int, int]] = {}
        self._refused: set[str] = set()
        self._misroutes: list[tuple[float, str, dict[str, Any]]] = []

    def add(self, records: Iterable[QuestionRecord]) -> None:
        """Add all of a run's records."""
        try:
            self._matrix = Matrix.from_records(self._questions, self._passing(records)).complete()
        except DataError:
            return  # there are no records

    def summary(self) -> dict[str, Any]:
        """Parts of `summary.json`; each is `None` where no question is complete."""
        matrix = self._matrix
        if matrix is None or not matrix.size:
            return dict.fromkeys(("verdict", "bounds", "losses", "regret", "costs"), None) | {"misroutes": []}
        task_map = TaskMap(matrix.experts, tuple(self._boards[question.id] for question in matrix.questions), "")
        best, nobody = task_map.picked(matrix.tasks), len(matrix.experts)
        # Where the classifier refused, no expert is asked: the last row, which is never right and has no letter.
        refused = np.array([question.id in self._refused for question in matrix.questions])
        picked = np.where(refused, nobody, task_map.picked(matrix.labels[OWN]))
        right = np.vstack([matrix.right, np.zeros((1, matrix.size), dtype=np.bool_)])
        unread = np.vstack([matrix.unread, np.ones((1, matrix.size), dtype=np.bool_)])
        named, true = np.array(matrix.labels[OWN]), np.array(matrix.tasks)
        unknown = named == UNKNOWN
        lost = losses(right, unread, picked, best, unknown, (named != true) & ~unknown)
        coe = right[picked, np.arange(matrix.size)]
        return {
            "verdict": self._verdict(matrix, coe),
            "bounds": self._bounds(matrix, best),
            "losses": asdict(lost) | {"total": lost.total},
            "regret": {task: asdict(each) for task, each in regret(right, picked, matrix.tasks).items()},
            "costs": self._costs(matrix, picked, float(coe.mean())),
            "misroutes": [shown for _, _, shown in sorted(self._misroutes, key=lambda each: each[:2], reverse=True)],
        }

    def _passing(self, records: Iterable[QuestionRecord]) -> Iterator[QuestionRecord]:
        for record in records:
            label = record["classification"]
            if label is None:
                self._refused.add(record["id"])  # or it failed: then the matrix leaves it out
            else:
                usage = label.get("usage") or {}
                tokens = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
                self._label_tokens[record["id"]] = tokens
                self._add_misroute(record, label)
            yield record

    def _verdict(self, matrix: Matrix, coe: Bools) -> dict[str, Any]:
        """CoE against the best single expert, paired; `coe` (N,) marks its right answers."""
        single = min(matrix.experts, key=lambda name: (-alone(matrix, name).right.mean(), name))
        comparison = compare(coe, alone(matrix, single).right, matrix.clusters)
        interval = accuracy_interval(coe, matrix.clusters)
        return {"best_single": single, "questions": matrix.size, "method": interval.method, **asdict(comparison)}

    def _bounds(self, matrix: Matrix, best: Ints) -> dict[str, float]:
        return {
            "task_oracle": float(routed("", matrix, best).right.mean()),
            "question_oracle": float(question_oracle("", matrix).right.mean()),
            "majority": float(majority("", matrix).right.mean()),
            "random_expert": random_expert(matrix).accuracy,
        }

    def _costs(self, matrix: Matrix, picked: Ints, accuracy: float) -> dict[str, dict[str, float | None]]:
        """Cost and accuracy of each system on the questions of the matrix.

        CoE, whose accuracy is given, pays its classifier and the one expert that is `picked` (N,).
        """
        models = [self._profile.experts[name].model for name in matrix.experts]
        labels = [self._label_tokens.get(question.id, (0, 0)) for question in matrix.questions]
        coe = [(self._profile.classifier.model, np.sum(labels, axis=0))]
        costs: dict[str, dict[str, float | None]] = {COE: {}}
        for row, (name, model) in enumerate(zip(matrix.experts, models, strict=True)):
            tokens, mine = matrix.tokens[:, row], picked == row
            if mine.any():
                coe.append((model, tokens[:, mine].sum(axis=1)))
            costs[name] = self._total_cost([(model, tokens.sum(axis=1))]) | {
                "accuracy": float(matrix.right[row].mean())
            }
        costs[COE] = self._total_cost(coe) | {"accuracy": accuracy}
        return costs

    def _total_cost(self, parts: Sequence[tuple[str, Ints]]) -> dict[str, float | None]:
        """Sum over (model, prompt and completion tokens): all tokens, and the cost where every model has a price."""
        costs = [self._cost(model, *map(int, tokens)) for model, tokens in parts]
        cost = None if None in costs else sum(each or 0.0 for each in costs)
        return {"tokens": int(sum(tokens.sum() for _, tokens in parts)), "cost": cost}

    def _cost(self, model: str, prompt_tokens: int, completion_tokens: int) -> float | None:
        """In the currency of the profile's prices; `None` where it is not known: of GPUs, or an API without a price."""
        if isinstance(self._profile.models[model], PythonModel):
            return 0.0
        return self._profile.token_cost(model, prompt_tokens, completion_tokens)

    def _add_misroute(self, record: QuestionRecord, label: Mapping[str, Any]) -> None:
        """Add the question if its label is wrong, and its expert too, where the true task's expert was right."""
        question, board = self._questions[record["id"]], self._boards.get(record["id"])
        if board is None or question.task is None or label["task"] == question.task:
            return
        asked, meant = (rank_experts(task, board)[0].expert for task in (label["task"], question.task))
        outcomes = {name: outcome_of(question, answer) for name, answer in record["answers"].items()}
        if outcomes[meant] == "correct" and outcomes[asked] not in ("correct", "failed"):
            answers = {"asked": _answer(asked, record, outcomes), "meant": _answer(meant, record, outcomes)}
            shown = _misroute(question, label) | answers
            entry = (float(label["confidence"]), question.id, shown)
            keep = heapq.heappush if len(self._misroutes) < SHOWN else heapq.heappushpop
            keep(self._misroutes, entry)


def _misroute(question: Question, label: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "question_id": question.id,
        "text": _shorten(question.text),
        "options": [_shorten(option) for option in question.options],
        "answer": question.answer,
        "task": question.task,
        "label": label["task"],
        "confidence": label["confidence"],
        "neighbours": [{"task": each["task"], "similarity": each["similarity"]} for each in label["neighbours"]],
    }


def _answer(expert: str, record: QuestionRecord, outcomes: Mapping[str, str]) -> dict[str, Any]:
    answer = record["answers"][expert]
    # Of a long text the end is kept: the letter stands there.
    text = _shorten(str(answer.get("text") or answer.get("message") or "")[::-1])[::-1]
    return {"expert": expert, "letter": answer.get("letter"), "outcome": outcomes[expert], "text": text}


def _shorten(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
