"""Losses between the accuracy that the experts reach together and CoE's: by step, and by task."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coe_ray.analysis.charts import loss_steps
from coe_ray.bench.report.formatting import percent, points

_MEANINGS = {
    "question_oracle": ("Some expert is right: no choice of experts can do better.", ""),
    "extraction": (
        "The right label’s expert gave no letter that could be read, or refused, and another expert was right.",
        "Read its answers in answers/; close its decoding to the letters, or give it another prompt style.",
    ),
    "mapping": (
        "The right label’s expert was wrong, and another one right.",
        "Split tasks on which experts differ, or add an expert for those with the most regret.",
    ),
    "task_oracle": ("The label is always right.", ""),
    "unknown": (
        "The classifier named no task, and the best on average was wrong where the task’s expert would be right.",
        "Describe those tasks better, or add examples of them to the index.",
    ),
    "classification": (
        "The classifier named another task, whose expert was wrong where the right one’s would be right.",
        "See the heat map for the pairs and the misroutes for why; add examples where two tasks meet.",
    ),
    "coe": ("The label is the classifier’s.", ""),
}
_GAIN = " Here it is a gain: the wrong label more often named the better expert."


@dataclass(frozen=True, slots=True)
class LossRow:
    """A row of the table: an accuracy in percent, or a signed loss in points, what it means and what to do."""

    name: str
    is_total: bool
    value: str
    meaning: str
    remedy: str


def loss_rows(summary: Mapping[str, Any]) -> list[LossRow]:
    """From the question oracle down to CoE; empty without losses."""
    rows = []
    for step in loss_steps(summary["losses"]) if summary.get("losses") else ():
        meaning, remedy = _MEANINGS[step.key]
        change = step.end - step.start
        value = percent(step.end) if step.is_total else points(change)
        gain = _GAIN if change > 1e-9 else ""
        rows.append(LossRow(step.name, step.is_total, value, meaning + gain, remedy if change < 0 else ""))
    return rows


def regret_by_task(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The tasks' regrets, the largest first."""
    return dict(sorted((summary.get("regret") or {}).items(), key=lambda row: (-row[1]["regret"], row[0])))
