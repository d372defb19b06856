"""Who is best at what (eqs. 4, 5 and 8): accuracies per expert and task, with counts, provenance and a version.

Needs no Ray: `Leaderboard.from_scores([("expert", "task", correct, total), …])` is all it takes.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
from statsmodels.stats.proportion import proportion_confint

from coe_ray.core.errors import DataError
from coe_ray.core.files import write_atomic
from coe_ray.core.types import Provenance, RankedExpert


@dataclass(frozen=True, slots=True)
class Score:
    """Right answers of one expert on one task."""

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
        low, high = proportion_confint(self.correct, self.total, method="wilson")
        return float(low), float(high)


@dataclass(frozen=True)
class Leaderboard:
    """Scores, one for each expert and task. Immutable; `version` is a hash of the scores."""

    scores: tuple[Score, ...]
    provenance: Provenance = Provenance()

    @classmethod
    def from_scores(
        cls, rows: Iterable[tuple[str, str, int, int]], provenance: Provenance = Provenance()
    ) -> "Leaderboard":
        """From (expert, task, correct, total). Raises `DataError` on counts that cannot be, and on a row twice."""
        scores = tuple(sorted((_checked(*row) for row in rows), key=lambda score: (score.task, score.expert)))
        pairs = [(score.expert, score.task) for score in scores]
        if twice := {pair for pair in pairs if pairs.count(pair) > 1}:
            raise DataError(f"leaderboard: {sorted(twice)[0]} has two rows; add them up first")
        if not scores:
            raise DataError("leaderboard: no scores; run a bench first (jobs/bench.py)")
        return cls(scores, provenance)

    @cached_property
    def version(self) -> str:
        return hashlib.sha256(orjson.dumps(self.scores)).hexdigest()[:12]

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(score.task for score in self.scores))

    @cached_property
    def experts(self) -> tuple[str, ...]:
        return tuple(sorted({score.expert for score in self.scores}))

    def ranked(self, task: str) -> tuple[RankedExpert, ...]:
        """The experts on `task`, best first, ties by name; empty for a task that was never scored."""
        row = [RankedExpert(s.expert, s.accuracy, s.correct, s.total) for s in self.scores if s.task == task]
        return tuple(sorted(row, key=_best_first))

    def best(self, task: str) -> RankedExpert | None:
        """The expert for `task` (eq. 5)."""
        row = self.ranked(task)
        return row[0] if row else None

    def ranked_on_average(self) -> tuple[RankedExpert, ...]:
        """The experts by the mean of their accuracies over tasks, every task weighing the same (eq. 8).

        Experts that were not scored on every task stand behind those that were.
        """
        means = {expert: self._accuracies(expert) for expert in self.experts}
        row = [RankedExpert(expert, float(sum(each) / len(each))) for expert, each in means.items()]
        return tuple(sorted(row, key=lambda s: (len(means[s.expert]) < len(self.tasks), *_best_first(s))))

    def best_on_average(self) -> RankedExpert:
        """The expert for *unknown*."""
        return self.ranked_on_average()[0]

    def narrowed(self, experts: Iterable[str]) -> "Leaderboard":
        """Only the rows of these experts: a profile may host fewer than were scored."""
        wanted = set(experts)
        rows = ((s.expert, s.task, s.correct, s.total) for s in self.scores if s.expert in wanted)
        return Leaderboard.from_scores(rows, self.provenance)

    def as_dict(self) -> dict[str, Any]:
        """What is stored and served: every score with its accuracy and interval."""
        scores = [{**asdict(s), "accuracy": s.accuracy, "ci95": s.interval} for s in self.scores]
        return {"version": self.version, "provenance": asdict(self.provenance), "scores": scores}

    def save(self, path: Path) -> None:
        """Written aside and renamed: the file exists only whole."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, orjson.dumps(self.as_dict(), option=orjson.OPT_INDENT_2) + b"\n")

    @classmethod
    def load(cls, path: Path) -> "Leaderboard":
        """Raises `DataError` where the file is missing, not a leaderboard, or changed by hand."""
        try:
            content = orjson.loads(path.read_bytes())
            rows = [(s["expert"], s["task"], s["correct"], s["total"]) for s in content["scores"]]
            board = cls.from_scores(rows, Provenance(**content["provenance"]))
        except FileNotFoundError as error:
            raise DataError(f"{path}: no leaderboard there; make one with jobs/leaderboard.py") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: not a leaderboard file ({error!r}); make one with jobs/leaderboard.py") from error
        if content.get("version") != board.version:
            raise DataError(f"{path}: scores do not match version {content.get('version')!r}; make the file again")
        return board

    def _accuracies(self, expert: str) -> list[Fraction]:
        # Exact: sums of floats would break ties by their rounding.
        return [Fraction(score.correct, score.total) for score in self.scores if score.expert == expert]


def _best_first(standing: RankedExpert) -> tuple[float, str]:
    return -standing.accuracy, standing.expert


def _checked(expert: str, task: str, correct: int, total: int) -> Score:
    if not 0 <= correct <= total or total == 0:
        raise DataError(f"leaderboard: {expert!r} on {task!r} has {correct} right of {total}; that cannot be")
    return Score(expert, task, correct, total)
