"""Threshold of confidence from which the neighbours' label stands without the LLM: leave-one-out over the examples."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from coe_ray.core.errors import DataError
from coe_ray.core.types import Question
from coe_ray.core.wilson import wilson_interval
from coe_ray.profile.profile import Profile
from coe_ray.retrieval.index import Retriever
from coe_ray.routing.classifier import neighbour_vote


@dataclass(frozen=True, slots=True)
class Vote:
    """Label that the neighbours of one example give it: with which confidence, and whether it is right."""

    confidence: float
    right: bool


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold: of `total` examples `decided` reach `confidence`, and `right` of those have the right label."""

    confidence: float
    right: int
    decided: int
    total: int

    @property
    def accuracy(self) -> float:
        return self.right / self.decided

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy."""
        return wilson_interval(self.right, self.decided)


async def collect_votes(profile: Profile, retriever: Retriever, examples: Sequence[Question]) -> list[Vote]:
    """One vote for each example that has neighbours; a retriever never returns the question itself."""
    names = {task.name for task in profile.task_list}
    votes = []
    for example in examples:
        label = neighbour_vote(await retriever.nearest(example, profile.classifier.k), names)
        if label is not None:
            votes.append(Vote(label.confidence, label.task == example.task))
    return votes


def list_thresholds(votes: Iterable[Vote]) -> list[Threshold]:
    """Every confidence that occurs as a threshold, the highest first."""
    ordered = sorted(votes, key=lambda vote: -vote.confidence)
    thresholds: dict[float, Threshold] = {}
    right = 0
    for decided, vote in enumerate(ordered, 1):
        right += vote.right
        thresholds[vote.confidence] = Threshold(vote.confidence, right, decided, len(ordered))
    return list(thresholds.values())


def choose_threshold(thresholds: Sequence[Threshold], accuracy: float) -> Threshold:
    """The threshold that decides most examples with at least this accuracy. Raises `DataError` where none does."""
    accurate = [threshold for threshold in thresholds if threshold.accuracy >= accuracy]
    if not accurate:
        best = max((threshold.accuracy for threshold in thresholds), default=0.0)
        raise DataError(
            f"no threshold: where the neighbours agree most, they are right in {best:.1%} of the cases, not in "
            f"{accuracy:.1%}; leave skip_llm_above out, or add labelled examples"
        )
    return accurate[-1]
