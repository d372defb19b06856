"""Leaderboard: accuracy of each expert on each task (eqs. 4, 5 and 8), with counts, provenance and a version.

Needs no Ray: `Leaderboard.from_scores([("expert", "task", correct, total), …])` is all it takes.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson

from coe_ray.core.errors import DataError
from coe_ray.core.files import write_atomic
from coe_ray.core.types import Provenance, RankedExpert
from coe_ray.core.wilson import wilson_interval


@dataclass(frozen=True, slots=True)
class Score:
    """Counts of one expert on one task."""

    expert: str
    task: str
    correct: int
    total: int

    @property
    def accuracy(self) -> float:
        return self.correct / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy."""
        return wilson_interval(self.correct, self.total)


@dataclass(frozen=True)
class Leaderboard:
    """Scores, one for each expert and task, ordered by task and expert. Immutable; `version` is a hash of the scores.

    Rankings and the served form are computed at first use and kept: a board may hold 30,000 scores.
    """

    scores: tuple[Score, ...]
    provenance: Provenance = Provenance()

    @classmethod
    def from_scores(
        cls, rows: Iterable[tuple[str, str, int, int]], provenance: Provenance = Provenance()
    ) -> "Leaderboard":
        """From (expert, task, correct, total). Raises `DataError` for impossible counts and for a row twice."""
        scores = sorted((_checked(*row) for row in rows), key=lambda score: (score.task, score.expert))
        for one, other in pairwise(scores):
            if (one.task, one.expert) == (other.task, other.expert):
                raise DataError(f"leaderboard: {(one.expert, one.task)} has two rows; add them up first")
        return cls._of(scores, provenance)

    @classmethod
    def _of(cls, scores: Iterable[Score], provenance: Provenance) -> "Leaderboard":
        board = cls(tuple(scores), provenance)
        if not board.scores:
            raise DataError("leaderboard: no scores; run a bench first (`coe-ray bench`)")
        return board

    @cached_property
    def version(self) -> str:
        return hashlib.sha256(orjson.dumps(self.scores)).hexdigest()[:12]

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        return tuple(self._rankings)

    @cached_property
    def experts(self) -> tuple[str, ...]:
        return tuple(sorted({score.expert for score in self.scores}))

    def ranked(self, task: str) -> tuple[RankedExpert, ...]:
        """The experts on `task`, best first, ties by name; empty for a task that was never scored."""
        return self._rankings.get(task, ())

    def best(self, task: str) -> RankedExpert | None:
        """The expert for `task` (eq. 5)."""
        return next(iter(self.ranked(task)), None)

    @cached_property
    def ranked_on_average(self) -> tuple[RankedExpert, ...]:
        """The experts by the mean of their accuracies over tasks, every task weighing the same (eq. 8).

        Experts that were not scored on every task rank after those that were.
        """
        # Exact: sums of floats would break ties by their rounding. Added up by total, as fractions are slow.
        correct: defaultdict[str, Counter[int]] = defaultdict(Counter)
        scored = Counter(score.expert for score in self.scores)
        for score in self.scores:
            correct[score.expert][score.total] += score.correct
        sums = {name: sum(Fraction(right, total) for total, right in each.items()) for name, each in correct.items()}
        row = [RankedExpert(name, float(each / scored[name])) for name, each in sums.items()]
        return tuple(sorted(row, key=lambda ranked: (scored[ranked.expert] < len(self.tasks), *_best_first(ranked))))

    def narrowed(self, experts: Iterable[str]) -> "Leaderboard":
        """Only the rows of these experts: a profile may host fewer than were scored."""
        wanted = set(experts)
        return self._of((score for score in self.scores if score.expert in wanted), self.provenance)

    def as_dict(self) -> dict[str, Any]:
        """The stored and served form: every score with its accuracy and interval. The scores are shared: read only."""
        return dict(self._content)

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all; its folder is made."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, orjson.dumps(self.as_dict(), option=orjson.OPT_INDENT_2) + b"\n")

    @classmethod
    def load(cls, path: str | Path) -> "Leaderboard":
        """Raises `DataError` where the file is missing, not a leaderboard, or changed by hand."""
        path = Path(path)
        try:
            content = orjson.loads(path.read_bytes())
            rows = [(s["expert"], s["task"], s["correct"], s["total"]) for s in content["scores"]]
            board = cls.from_scores(rows, Provenance(**content["provenance"]))
        except FileNotFoundError as error:
            raise DataError(f"{path}: no leaderboard there; make one with `coe-ray leaderboard`") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: not a leaderboard file ({error!r}); make one: `coe-ray leaderboard`") from error
        if content.get("version") != board.version:
            raise DataError(f"{path}: scores do not match version {content.get('version')!r}; make the file again")
        return board

    @cached_property
    def _rankings(self) -> dict[str, tuple[RankedExpert, ...]]:
        """Ranked experts by task; tasks in the order of the scores."""
        rows: defaultdict[str, list[RankedExpert]] = defaultdict(list)
        for score in self.scores:
            rows[score.task].append(RankedExpert(score.expert, score.accuracy, score.correct, score.total))
        return {task: tuple(sorted(row, key=_best_first)) for task, row in rows.items()}

    @cached_property
    def _content(self) -> dict[str, Any]:
        names = ("expert", "task", "correct", "total", "accuracy")  # `asdict` takes a second for 30,000 scores
        scores = [{**{name: getattr(each, name) for name in names}, "ci95": each.interval} for each in self.scores]
        return {"version": self.version, "provenance": asdict(self.provenance), "scores": scores}


def _best_first(ranked: RankedExpert) -> tuple[float, str]:
    return -ranked.accuracy, ranked.expert


def _checked(expert: str, task: str, correct: int, total: int) -> Score:
    if not 0 <= correct <= total or total == 0:
        raise DataError(f"leaderboard: {expert!r} on {task!r} has {correct} right of {total}; that cannot be")
    return Score(expert, task, correct, total)
