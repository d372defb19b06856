"""Every system that is compared, out of one matrix: what it answers to each question, and so whether it is right."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from coe_ray.analysis.matrix import CORRECT, NO_LETTER, Bools, Ints, Matrix
from coe_ray.analysis.metrics import Graded, system_metrics
from coe_ray.core.types import LETTERS, OUTCOMES

SEEDS = 1000


@dataclass(frozen=True)
class System:
    """Its answer to each of N questions: `outcomes` and `letters` (N,), and whose it is (`picked`, of an expert)."""

    name: str
    outcomes: Ints
    letters: Ints
    picked: Ints | None = None

    @property
    def right(self) -> Bools:
        right: Bools = self.outcomes == CORRECT
        return right

    def metrics(self, matrix: Matrix) -> dict[str, object]:
        """As in a bench's summary; without precision, recall and F1 where the right letters are not known."""
        rows = zip(matrix.tasks, matrix.answers, self.letters, self.outcomes, strict=True)
        figures = system_metrics(
            Graded(task, _letter(right) or "", _letter(letter), OUTCOMES[outcome])
            for task, right, letter, outcome in rows
        )
        if (matrix.answers == NO_LETTER).any():
            figures |= dict.fromkeys(("precision", "recall", "f1"))
        return figures


@dataclass(frozen=True, slots=True)
class Spread:
    """A random system: the expected share of right answers, and how far single draws lie around it (95 %)."""

    accuracy: float
    low: float
    high: float


def routed(name: str, matrix: Matrix, picked: Ints) -> System:
    """The picked (N,) experts' answers."""
    everyone = np.arange(matrix.size)
    return System(name, matrix.outcomes[picked, everyone], matrix.letters[picked, everyone], picked)


def alone(matrix: Matrix, expert: str) -> System:
    """One expert on everything."""
    return routed(expert, matrix, np.full(matrix.size, matrix.experts.index(expert), dtype=np.intp))


def majority(name: str, matrix: Matrix) -> System:
    """The letter that most experts give; between equals, the one of the expert that is best over all."""
    order = np.argsort(-matrix.right.mean(axis=1), kind="stable")
    letters = np.array([_most(column) for column in matrix.letters[order].T], dtype=np.intp)
    # Whoever gave the letter shows what it is worth: of recorded results the right letter need not be known.
    givers = order[(matrix.letters[order] == letters).argmax(axis=0)]
    outcomes = matrix.outcomes[givers, np.arange(matrix.size)]
    outcomes[letters == NO_LETTER] = OUTCOMES.index("unparsed")
    return System(name, outcomes, letters)


def question_oracle(name: str, matrix: Matrix) -> System:
    """Asks for each question an expert that is right, where there is one: no routing can be better."""
    return routed(name, matrix, matrix.right.argmax(axis=0).astype(np.intp))


def random_expert(matrix: Matrix, seeds: int = SEEDS) -> Spread:
    """Random-CoE: for each question any expert. The expectation is exact, the spread is that of `seeds` draws."""
    chance = np.random.default_rng(0)
    picks = chance.integers(len(matrix.experts), size=(seeds, matrix.size))
    shares = matrix.right[picks, np.arange(matrix.size)].mean(axis=1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return Spread(float(matrix.right.mean()), float(low), float(high))


def random_labels(tasks: Sequence[str], size: int, seed: int = 0) -> tuple[str, ...]:
    """A classifier that guesses."""
    return tuple(np.random.default_rng(seed).choice(np.array(tasks, dtype=object), size=size))


def _most(letters: npt.NDArray[np.intp]) -> int:
    votes = Counter(int(letter) for letter in letters if letter != NO_LETTER)
    return votes.most_common(1)[0][0] if votes else NO_LETTER  # the first of equals is the best expert's


def _letter(place: int) -> str | None:
    return None if place == NO_LETTER else LETTERS[place]
