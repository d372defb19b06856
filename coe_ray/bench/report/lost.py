"""What is lost between what the experts know and what CoE answers, in which step, and at which task."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from coe_ray.bench.report.axes import Axis, linear


@dataclass(frozen=True, slots=True)
class Step:
    """One step from the question oracle down to CoE: an accuracy, or a loss from `start` down to `end`."""

    name: str
    start: float
    end: float
    is_total: bool
    means: str
    todo: str = ""

    @property
    def loss(self) -> float:
        return self.start - self.end


@dataclass(frozen=True, slots=True)
class Losses:
    steps: tuple[Step, ...]
    axis: Axis


_LOSSES = {
    "extraction": (
        "The right label’s expert gave no letter that could be read, or refused, and another expert was right.",
        "Read its answers in answers/; close its decoding to the letters, or give it another prompt style.",
    ),
    "mapping": (
        "The right label’s expert was wrong, and another one right.",
        "Split tasks on which experts differ, or add an expert for those with the most regret.",
    ),
    "unknown": (
        "The classifier named no task, and the best on average was wrong where the task’s expert would be right.",
        "Describe those tasks better, or add examples of them to the index.",
    ),
    "classification": (
        "The classifier named another task, whose expert was wrong where the right one’s would be right.",
        "See the heat map for the pairs and the misroutes for why; add examples where two tasks meet.",
    ),
}
_ORACLES = {
    "question_oracle": "Some expert is right: no choice of experts can do better.",
    "task_oracle": "The label is always right.",
    "coe": "The label is the classifier’s.",
}
_GAIN = " Here it is a gain: the wrong label more often named the better expert."


def losses(summary: Mapping[str, Any]) -> Losses | None:
    """From what the experts know down to what CoE answers."""
    found = summary.get("losses")
    if found is None:
        return None
    steps = tuple(_steps(found))
    return Losses(steps, linear((end for step in steps for end in (step.start, step.end)), 5))


def _steps(found: Mapping[str, float]) -> Iterator[Step]:
    here = found["question_oracle"]
    yield _total("Question oracle", "question_oracle", here)
    for name in ("extraction", "mapping"):
        yield _loss(name, here, here - found[name])
        here -= found[name]
    yield _total("Task oracle", "task_oracle", found["task_oracle"])
    here = found["task_oracle"]
    for name in ("unknown", "classification"):
        yield _loss(name, here, here - found[name])
        here -= found[name]
    yield _total("CoE", "coe", found["coe"])


def _total(name: str, key: str, value: float) -> Step:
    return Step(name, value, value, True, _ORACLES[key])


def _loss(name: str, start: float, end: float) -> Step:
    means, todo = _LOSSES[name]
    return Step(name.capitalize(), start, end, False, means + (_GAIN if end > start + 1e-9 else ""), todo)


def regret(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """The tasks' regrets, the largest first."""
    found = summary.get("regret")
    return dict(sorted(found.items(), key=lambda each: (-each[1]["regret"], each[0]))) if found else None


def regret_axis(found: Mapping[str, Any]) -> Axis:
    return linear((row[name] for row in found.values() for name in ("coe", "best_single", "question_oracle")), 5)
