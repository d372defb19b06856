"""From which confidence on the neighbours' label may stand without the LLM: by leave-one-out over labelled examples."""

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
    """What the neighbours of one example say of it: with which confidence, and whether they are right."""

    confidence: float
    right: bool


@dataclass(frozen=True, slots=True)
class Threshold:
    """Of `total` examples `decided` reach `confidence`; of those `right` have the right label."""

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


async def votes(profile: Profile, retriever: Retriever, examples: Sequence[Question]) -> list[Vote]:
    """One for each example that has neighbours; a retriever never gives a question itself back: that leaves it out."""
    names = {task.name for task in profile.task_list}
    cast = []
    for example in examples:
        said = neighbour_vote(await retriever.nearest(example, profile.classifier.k), names)
        if said is not None:
            cast.append(Vote(said.confidence, said.task == example.task))
    return cast


def thresholds(cast: Iterable[Vote]) -> list[Threshold]:
    """Every confidence that occurs, the highest first, with what would come of it as the threshold."""
    ordered = sorted(cast, key=lambda vote: -vote.confidence)
    steps: dict[float, Threshold] = {}
    right = 0
    for decided, vote in enumerate(ordered, 1):
        right += vote.right
        steps[vote.confidence] = Threshold(vote.confidence, right, decided, len(ordered))
    return list(steps.values())


def lowest(steps: Sequence[Threshold], accuracy: float) -> Threshold:
    """The threshold that decides most examples with at least this accuracy. Raises `DataError` where none does."""
    enough = [step for step in steps if step.accuracy >= accuracy]
    if not enough:
        best = max((step.accuracy for step in steps), default=0.0)
        raise DataError(
            f"no threshold: where the neighbours agree most, they are right in {best:.1%} of the cases, not in "
            f"{accuracy:.1%}; leave skip_llm_above out, or add labelled examples"
        )
    return enough[-1]
