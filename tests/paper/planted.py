"""A planted world: experts with a set accuracy at each task and a classifier with a set confusion, as real models.

They answer through the real pipeline. What a table says of them is known beforehand, up to the luck of the draw, which
is the same in every process: it follows from the question's id.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from coe_ray.bench.records import evaluate_question
from coe_ray.bench.worker import ExtraClassifier
from coe_ray.core.chat_model import ChatModel, stream_completion
from coe_ray.core.questions import make_question
from coe_ray.core.run_folder import QuestionRecord
from coe_ray.core.types import UNKNOWN, Call, Completion, Delta, Question
from coe_ray.profile.profile import Profile, load_profile
from coe_ray.routing.pipeline import CompositionOfExperts
from coe_ray.routing.prompts import answer_sentence, task_label
from tests.support.planted import Shelf
from tests.support.profiles import write_profile

TASKS = ("Logs", "Incidents", "Series", "Plans")
LETTERS = "ABCD"
PER_TASK = 1500
LABEL = "classifier without RAG"

SKILL: Mapping[str, Mapping[str, float]] = {
    "logger": {"Logs": 0.9, "Incidents": 0.3, "Series": 0.4, "Plans": 0.5},
    "medic": {"Logs": 0.4, "Incidents": 0.8, "Series": 0.2, "Plans": 0.6},
    "counter": {"Logs": 0.2, "Incidents": 0.4, "Series": 0.7, "Plans": 0.3},
}
SINGLE: Mapping[str, float] = dict.fromkeys(TASKS, 0.55)
SILENT = {"counter": 0.1}
"""The share of an expert's answers that hold no letter: taken from its wrong ones."""

CONFUSION: Mapping[str, Mapping[str, float]] = {
    "Logs": {"Logs": 0.9, "Incidents": 0.1},
    "Incidents": {"Incidents": 0.7, "Series": 0.2, UNKNOWN: 0.1},
    "Series": {"Series": 0.8, "Logs": 0.2},
    "Plans": {"Plans": 0.6, UNKNOWN: 0.4},
}


def drawn(question: Question, what: str) -> float:
    """The question's own number in [0, 1) for `what`, independent of its others."""
    return int(hashlib.sha256(f"{what}:{question.id}".encode()).hexdigest()[:13], 16) / 16**13


class PlantedExpert:
    """Right with its skill at the true task, silent or wrong else."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._skill = SKILL.get(name, SINGLE)

    async def complete(self, call: Call) -> Completion:
        question = call.question
        assert question is not None
        assert question.answer is not None
        luck = drawn(question, self.name)
        if luck < self._skill[str(question.task).partition(" ")[0]]:
            return Completion(answer_sentence(question.answer))
        if luck > 1 - SILENT.get(self.name, 0.0):
            return Completion("I cannot say")
        others = [letter for letter in question.letters if letter != question.answer]
        return Completion(answer_sentence(others[int(luck * 1e9) % len(others)]))

    def stream(self, call: Call) -> AsyncIterator[Delta]:
        return stream_completion(self, call)


class PlantedClassifier:
    """Names a task by the confusion's row of the true one."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def complete(self, call: Call) -> Completion:
        assert call.question is not None
        row, luck = CONFUSION[str(call.question.task)], drawn(call.question, self.name)
        edges = np.cumsum(list(row.values()))
        label = list(row)[int(np.searchsorted(edges, luck, side="right"))]
        return Completion(task_label(label))

    def stream(self, call: Call) -> AsyncIterator[Delta]:
        return stream_completion(self, call)


CONTENT: dict[str, Any] = {
    "tasks": [{"name": task, "description": f"about {task}"} for task in TASKS],
    "models": {
        **{name: {"kind": "python", "target": "tests.paper.planted:PlantedExpert"} for name in (*SKILL, "large")},
        "sorter": {"kind": "python", "target": "tests.paper.planted:PlantedClassifier"},
    },
    "experts": {name: {"model": name, "prompt": "direct"} for name in SKILL},
    "classifier": {"model": "sorter", "decoding": "free", "k": 0},
    "retrieval": {"encoder": {"hub": "nobody/encoder"}},
    "study": {"singles": {"large": {"model": "large", "prompt": "direct"}}},
}


def profile(folder: Path, **changes: Any) -> Profile:
    return load_profile(write_profile(folder / "planted.yaml", {**CONTENT, **changes}))


def questions(per_task: int, categories: int = 4) -> list[Question]:
    """So many of each task, spread over categories."""
    return [
        make_question(
            f"Case {number} of {task}: which?",
            ("w", "x", "y", "z"),
            LETTERS[number % 4],
            task,
            category=f"{task}/{number % categories}",
        )
        for task in TASKS
        for number in range(per_task)
    ]


def models(names: Sequence[str]) -> dict[str, ChatModel]:
    planted: dict[str, ChatModel] = {name: PlantedExpert(name) for name in names if name != "sorter"}
    return planted | {"sorter": PlantedClassifier("sorter")}


def records(of: Profile, labellers: Mapping[str, ExtraClassifier], asked: Sequence[Question]) -> list[QuestionRecord]:
    """What a run would keep, without a run: every question through the real pipeline."""
    everybody = models(list(of.models))
    coe = CompositionOfExperts(of, everybody, Shelf(), None)
    others = {name: CompositionOfExperts(each.profile, everybody, Shelf(), None) for name, each in labellers.items()}

    async def all_of_them() -> list[QuestionRecord]:
        return await asyncio.gather(*(evaluate_question(coe, question, others) for question in asked))

    return asyncio.run(all_of_them())
