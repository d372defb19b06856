"""Task → expert maps (eqs. 3, 5, 8) and cross-fitting, for benches and studies alike.

`paper`: made of the very questions that are scored, as published. `held-out`: made of a run on other questions, or of
the other four fifths of these, a different fifth for each question. Near duplicates are always in one fifth.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from coe_ray.analysis.matrix import Ints, Matrix
from coe_ray.core.errors import DataError
from coe_ray.core.questions import near_duplicate_key
from coe_ray.core.types import Provenance, Question
from coe_ray.routing.leaderboard import Leaderboard
from coe_ray.routing.router import rank_experts

Protocol = Literal["paper", "held-out"]
PROTOCOLS: tuple[Protocol, ...] = ("paper", "held-out")

FOLDS = 5

Counts: TypeAlias = Mapping[tuple[int, str, str], tuple[int, int]]
"""(fold, expert, task) → right answers, answers."""


def fold_of(question: Question) -> int:
    """The question's fold, 0 to `FOLDS` - 1; the same for near duplicates, so that none routes another."""
    key = near_duplicate_key(question.text, question.options) if question.text else question.id
    return int(hashlib.sha256(key.encode()).hexdigest(), 16) % FOLDS


def make_board(counts: Counts, *, without: int | None = None, provenance: Provenance = Provenance()) -> Leaderboard:
    """The leaderboard of all folds but one. Raises `DataError` where nothing is left."""
    correct: Counter[tuple[str, str]] = Counter()
    total: Counter[tuple[str, str]] = Counter()
    for (fold, expert, task), (right, answered) in counts.items():
        if fold != without:
            correct[expert, task] += right
            total[expert, task] += answered
    scores = ((expert, task, correct[expert, task], count) for (expert, task), count in total.items())
    return Leaderboard.from_scores(scores, provenance)


def cross_fit(counts: Counts) -> dict[int, Leaderboard]:
    """For each fold the leaderboard of the other folds; of all, where the others have no answers."""
    folds = {fold for fold, _, _ in counts}
    return {fold: make_board(counts, without=fold if folds - {fold} else None) for fold in range(FOLDS)}


@dataclass(frozen=True, slots=True)
class TaskMap:
    """Map of task labels to experts: `boards` has the leaderboard that routes each of the N questions."""

    experts: tuple[str, ...]
    boards: tuple[Leaderboard, ...]
    note: str

    def picked(self, labels: Sequence[str | None]) -> Ints:
        """(N,): the place of each question's expert by its label; for *unknown* the best on average."""
        best = (rank_experts(label, board)[0].expert for label, board in zip(labels, self.boards, strict=True))
        return np.array([self.experts.index(expert) for expert in best], dtype=np.intp)


def paper_map(matrix: Matrix) -> TaskMap:
    """Made of the scored questions themselves: it flatters."""
    return _single_map(matrix, matrix, "made of the questions that are scored, as published")


def cross_fitted_map(matrix: Matrix) -> TaskMap:
    """For each fold made of the other folds' answers."""
    folds = np.array([fold_of(question) for question in matrix.questions], dtype=np.intp)
    occupied = len(np.unique(folds))
    if occupied == 1:  # so few questions that there are no others
        return paper_map(matrix)
    boards = cross_fit(_count(matrix, folds))
    note = f"cross-fitted: each question is routed by the other folds' answers ({occupied} folds)"
    return TaskMap(matrix.experts, tuple(boards[fold] for fold in folds.tolist()), note)


def other_map(matrix: Matrix, other: Matrix, name: str) -> TaskMap:
    """Made of a run on other questions. Raises `DataError` where it lacks one of these experts."""
    if missing := sorted(set(matrix.experts) - set(other.experts)):
        raise DataError(f"run {name} has no answers of {', '.join(missing)}; bench the same experts there")
    return _single_map(matrix, other.among(matrix.experts), f"made of the {other.size} questions of run {name}")


def _single_map(matrix: Matrix, source: Matrix, note: str) -> TaskMap:
    board = make_board(_count(source, np.zeros(source.size, dtype=np.intp)))
    return TaskMap(matrix.experts, (board,) * matrix.size, note)


def _count(matrix: Matrix, folds: Ints) -> Counts:
    tasks = np.array(matrix.tasks)
    counts: dict[tuple[int, str, str], tuple[int, int]] = {}
    for fold in np.unique(folds):
        for task in dict.fromkeys(matrix.tasks):
            here = (folds == fold) & (tasks == task)
            if here.any():
                for expert, right in zip(matrix.experts, matrix.right[:, here].sum(axis=1), strict=True):
                    counts[int(fold), expert, task] = int(right), int(here.sum())
    return counts
