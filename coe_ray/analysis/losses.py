"""Losses of CoE against the question oracle, split by cause without a remainder; and the regret of each task.

All is counted on the same N questions, which each of E experts answered. Accuracies and losses are fractions of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coe_ray.analysis.statistics import Bools, Ints


@dataclass(frozen=True, slots=True)
class Losses:
    """Three accuracies, and four losses that sum to the distance of the first from the last.

    `coe` asks the expert of the named task, `task_oracle` that of the true task, and `question_oracle` is right where
    any expert is. `classification` is lost to labels of another task, `unknown` to the label *unknown*: both are less
    than 0 where the wrong label named the better expert. With the true label, `extraction` is lost to answers without
    a letter, and `mapping` to the rest: the task's expert was wrong and another one right.
    """

    coe: float
    task_oracle: float
    question_oracle: float
    classification: float
    unknown: float
    mapping: float
    extraction: float

    @property
    def total(self) -> float:
        """What a perfect choice of expert would add to CoE's accuracy."""
        return self.question_oracle - self.coe


@dataclass(frozen=True, slots=True)
class Regret:
    """One task's accuracies: of CoE, of the expert that turned out best at the task, of the question oracle.

    `regret` is `best_single` less `coe`: below 0 where asking several experts beat the best one.
    """

    questions: int
    coe: float
    best_single: float
    question_oracle: float
    regret: float


def losses(right: Bools, unread: Bools, picked: Ints, best: Ints, unknown: Bools, misnamed: Bools) -> Losses:
    """Account for every question that some expert gets right and CoE does not.

    `right` and `unread` (the answer held no letter), of shape (E, N), say what became of each expert's answer. Of
    shape (N,) are `picked`, the expert that CoE asked; `best`, the one that the mapping names for the true task;
    `unknown`, the label was *unknown*; and `misnamed`, it was another task than the true one.
    """
    question = np.arange(picked.size)
    coe, task_oracle, question_oracle = right[picked, question], right[best, question], right.any(axis=0)
    by_label = task_oracle.astype(np.intp) - coe
    by_mapping = question_oracle & ~task_oracle
    silent = unread[best, question]
    return Losses(
        coe=float(coe.mean()),
        task_oracle=float(task_oracle.mean()),
        question_oracle=float(question_oracle.mean()),
        classification=float((by_label * misnamed).mean()),
        unknown=float((by_label * unknown).mean()),
        mapping=float((by_mapping & ~silent).mean()),
        extraction=float((by_mapping & silent).mean()),
    )


def regret(right: Bools, picked: Ints, tasks: Sequence[str]) -> dict[str, Regret]:
    """Each task's regret, in alphabetical order: `right` has shape (E, N), `picked` and `tasks` are one a question."""
    names = np.array(tasks, dtype=np.str_)
    return {str(name): _regret(right[:, names == name], picked[names == name]) for name in np.unique(names)}


def _regret(right: Bools, picked: Ints) -> Regret:
    coe = float(right[picked, np.arange(picked.size)].mean())
    best_single = float(right.mean(axis=1).max())
    return Regret(picked.size, coe, best_single, float(right.any(axis=0).mean()), best_single - coe)
