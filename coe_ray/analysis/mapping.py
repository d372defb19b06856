"""Which expert a task goes to (eqs. 3, 5, 8), made as the paper makes it, or held out.

`paper`: of the very questions that are scored, as published. `held-out`: of a run on other questions, or of the other
four fifths of these, a different fifth for each question. Near duplicates are always in one fifth.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from coe_ray.analysis.matrix import Bools, Ints, Matrix
from coe_ray.core.errors import DataError
from coe_ray.core.questions import near_duplicate_key
from coe_ray.core.types import UNKNOWN, Question
from coe_ray.routing.leaderboard import Leaderboard

Protocol = Literal["paper", "held-out"]
PROTOCOLS: tuple[Protocol, ...] = ("paper", "held-out")

FOLDS = 5


@dataclass(frozen=True, slots=True)
class TaskMap:
    """`boards` are the leaderboards of the parts, `part` (N,) says which one routes a question."""

    experts: tuple[str, ...]
    boards: tuple[Leaderboard, ...]
    part: Ints
    note: str

    def picked(self, labels: Sequence[str]) -> Ints:
        """(N,): the expert that each question is sent to by its label; for *unknown* the best on average."""
        best = [{task: self._place(board, task) for task in {*labels, UNKNOWN}} for board in self.boards]
        return np.array([best[part][label] for part, label in zip(self.part, labels, strict=True)], dtype=np.intp)

    def _place(self, board: Leaderboard, task: str) -> int:
        standing = board.best(task) or board.best_on_average()
        return self.experts.index(standing.expert)


def paper_map(matrix: Matrix) -> TaskMap:
    """Of the scored questions themselves: it flatters."""
    everything = np.ones(matrix.size, dtype=np.bool_)
    note = "made of the questions that are scored, as published"
    return TaskMap(matrix.experts, (_board(matrix, everything),), np.zeros(matrix.size, dtype=np.intp), note)


def cross_fitted_map(matrix: Matrix) -> TaskMap:
    """For each fold of the other folds' answers."""
    folds = np.array([fold_of(question) for question in matrix.questions], dtype=np.intp)
    occupied = [fold for fold in range(FOLDS) if (folds == fold).any()]
    if len(occupied) == 1:  # so few questions that there are no others
        return paper_map(matrix)
    boards = tuple(_board(matrix, folds != fold) for fold in occupied)
    note = f"cross-fitted: each question is routed by the other folds' answers ({len(occupied)} folds)"
    return TaskMap(matrix.experts, boards, np.searchsorted(occupied, folds).astype(np.intp), note)


def other_map(matrix: Matrix, other: Matrix, name: str) -> TaskMap:
    """Of a run on other questions. Raises `DataError` where it has none of these experts."""
    if missing := sorted(set(matrix.experts) - set(other.experts)):
        raise DataError(f"run {name} has no answers of {', '.join(missing)}; bench the same experts there")
    board = _board(other.among(matrix.experts), np.ones(other.size, dtype=np.bool_))
    note = f"made of the {other.size} questions of run {name}"
    return TaskMap(matrix.experts, (board,), np.zeros(matrix.size, dtype=np.intp), note)


def fold_of(question: Question) -> int:
    """The same for near duplicates: one must not route the other."""
    key = near_duplicate_key(question.text, question.options) if question.text else question.id
    return int(hashlib.sha256(key.encode()).hexdigest(), 16) % FOLDS


def _board(matrix: Matrix, keep: Bools) -> Leaderboard:
    tasks = np.array(matrix.tasks)
    rows = []
    for task in dict.fromkeys(matrix.tasks):
        here = keep & (tasks == task)
        if here.any():
            right = matrix.right[:, here].sum(axis=1)
            rows += [
                (name, task, int(count), int(here.sum())) for name, count in zip(matrix.experts, right, strict=True)
            ]
    return Leaderboard.from_scores(rows)
