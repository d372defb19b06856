"""Every answer and every label of a run as arrays, out of which each system follows without another call."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from coe_ray.bench.metrics import grade
from coe_ray.bench.scoring import outcome_of
from coe_ray.classify import agreement
from coe_ray.errors import DataError
from coe_ray.parsing import parse_letter
from coe_ray.recordings import Recording
from coe_ray.retrieval import weighted
from coe_ray.runs import Record
from coe_ray.types import LETTERS, UNKNOWN, Outcome, Question

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.intp]

OUTCOMES: tuple[Outcome, ...] = ("correct", "wrong", "unparsed", "refused", "failed")
CORRECT, FAILED = OUTCOMES.index("correct"), OUTCOMES.index("failed")
NO_LETTER = -1

NEIGHBOURS = "neighbours"
"""The label that the retrieved neighbours vote for, kept beside those of the classifiers."""

Labels = tuple[str | None, ...]
"""One a question: a task, *unknown*, or `None` where the classifier could not be asked."""


@dataclass(frozen=True)
class Matrix:
    """N questions with a task each, E experts.

    `outcomes` (E, N) are places in `OUTCOMES`, `letters` (E, N) in `LETTERS`;
    `tokens` (2, E, N) are prompt and completion tokens; `labels` what each classifier named, by its name.
    """

    questions: tuple[Question, ...]
    experts: tuple[str, ...]
    outcomes: Ints
    letters: Ints
    tokens: Ints
    labels: Mapping[str, Labels] = field(default_factory=dict)

    @classmethod
    def from_records(cls, questions: Mapping[str, Question], records: Iterable[Record]) -> "Matrix":
        """Of a run's records. Raises `DataError` where there is none, or one knows other experts than the others."""
        kept = sorted((record for record in records if record["id"] in questions), key=lambda record: str(record["id"]))
        if not kept:
            raise DataError("the run has no records yet; finish it first")
        experts = tuple(kept[0]["answers"])
        if any(tuple(record["answers"]) != experts for record in kept):
            raise DataError("the run's records do not all have the same experts; begin it anew")
        asked = tuple(questions[record["id"]] for record in kept)
        said = [[record["answers"][expert] for record in kept] for expert in experts]
        return cls(
            asked,
            experts,
            np.array([[_outcome(q, each) for q, each in zip(asked, row, strict=True)] for row in said], dtype=np.intp),
            np.array([[_letter(each) for each in row] for row in said], dtype=np.intp),
            np.array([[[each.get(name) or 0 for each in row] for row in said] for name in _TOKENS], dtype=np.intp),
            _labels(kept),
        )

    @classmethod
    def from_recordings(
        cls, recordings: Iterable[Recording], questions: Mapping[str, Question] = MappingProxyType({})
    ) -> "Matrix":
        """Of a table of past results, of which only the questions are taken that every expert was asked.

        `questions` by their ids are needed where the table has no tasks, or answers but not whether they were right.
        Raises `DataError` where that is missing, or no question was put to all.
        """
        by_question: dict[str, dict[str, Recording]] = {}
        for each in recordings:
            by_question.setdefault(each.question, {})[each.expert] = each
        experts = tuple(sorted({expert for row in by_question.values() for expert in row}))
        rows = {id_: row for id_, row in sorted(by_question.items()) if len(row) == len(experts)}
        if not rows:
            raise DataError("no question was answered by all of the experts; there is nothing to compare")
        asked = tuple(questions.get(id_) or _recorded_question(id_, row.values()) for id_, row in rows.items())
        table = [[row[expert] for row in rows.values()] for expert in experts]
        outcomes = [[_recorded(q, each) for q, each in zip(asked, row, strict=True)] for row in table]
        return cls(
            asked,
            experts,
            np.array(outcomes, dtype=np.intp),
            np.array([[_told(q, each) for q, each in zip(asked, row, strict=True)] for row in table], dtype=np.intp),
            np.zeros((2, len(experts), len(rows)), dtype=np.intp),
        )

    @property
    def size(self) -> int:
        return len(self.questions)

    @cached_property
    def right(self) -> Bools:
        """(E, N)"""
        right: Bools = self.outcomes == CORRECT
        return right

    @cached_property
    def unread(self) -> Bools:
        """(E, N): the answer holds no letter."""
        return np.isin(self.outcomes, [OUTCOMES.index("unparsed"), OUTCOMES.index("refused")])

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """The true task of each question."""
        return tuple(question.task or UNKNOWN for question in self.questions)

    @cached_property
    def answers(self) -> Ints:
        """(N,): the place of the right letter."""
        return np.array([_place(question.answer) for question in self.questions], dtype=np.intp)

    @cached_property
    def clusters(self) -> Ints:
        """(N,): the number of each question's category; of its task where no category is known."""
        names = [question.category or question.task or "" for question in self.questions]
        return np.unique(names, return_inverse=True)[1].astype(np.intp)

    def only(self, keep: Bools) -> "Matrix":
        """The questions that `keep` (N,) marks."""
        places = np.flatnonzero(keep)
        return replace(
            self,
            questions=tuple(self.questions[place] for place in places),
            outcomes=self.outcomes[:, places],
            letters=self.letters[:, places],
            tokens=self.tokens[:, :, places],
            labels={name: tuple(labels[place] for place in places) for name, labels in self.labels.items()},
        )

    def complete(self) -> "Matrix":
        """The questions of which no call failed: an outage says nothing of anybody's skill."""
        keep = ~(self.outcomes == FAILED).any(axis=0)
        for labels in self.labels.values():
            keep &= np.array([label is not None for label in labels], dtype=np.bool_)
        return self.only(keep)

    def among(self, experts: Sequence[str]) -> "Matrix":
        """Only these experts, in this order."""
        rows = [self.experts.index(expert) for expert in experts]
        return replace(
            self,
            experts=tuple(experts),
            outcomes=self.outcomes[rows],
            letters=self.letters[rows],
            tokens=self.tokens[:, rows],
        )


_TOKENS = ("prompt_tokens", "completion_tokens")


def _outcome(question: Question, said: Mapping[str, Any]) -> int:
    return OUTCOMES.index(outcome_of(question, said))


def _recorded(question: Question, said: Recording) -> int:
    if said.correct is not None:
        return CORRECT if said.correct else OUTCOMES.index("wrong")
    if question.answer is None:
        raise DataError(f"recorded result on {question.id!r}: neither its right answer nor `correct` is known")
    letter = parse_letter(said.answer or "", question.letters).value
    return OUTCOMES.index(grade(letter, question.answer))


def _letter(said: Mapping[str, Any]) -> int:
    """A refusal's letter, if one was found in it, is no answer."""
    return NO_LETTER if said.get("refused") else _place(said.get("letter"))


def _told(question: Question, said: Recording) -> int:
    return _place(parse_letter(said.answer or "", question.letters or LETTERS).value)


def _place(letter: str | None) -> int:
    return NO_LETTER if letter is None else LETTERS.find(letter)


def _recorded_question(id_: str, rows: Iterable[Recording]) -> Question:
    task = next((each.task for each in rows if each.task), None)
    if task is None:
        raise DataError(f"recorded results on {id_!r} name no task; fill the column task in, or give the question")
    return Question(id_, "", task=task)


def _labels(records: Sequence[Record]) -> dict[str, Labels]:
    """Each classifier's label of each question, and their neighbours' vote."""
    names = tuple(records[0].get("labels", {}))
    labels: dict[str, Labels] = {name: tuple(_label(record["labels"][name]) for record in records) for name in names}
    # The first record may be one of a failed call, which has none.
    with_neighbours = [name for name in names if any(record["labels"][name].get("neighbours") for record in records)]
    if with_neighbours:
        labels[NEIGHBOURS] = tuple(_vote(record["labels"][with_neighbours[0]]) for record in records)
    return labels


def _label(said: Mapping[str, Any]) -> str | None:
    return said.get("task")


def _vote(said: Mapping[str, Any]) -> str | None:
    if "task" not in said:
        return None
    found = [{**each, "question_id": each["id"], "text": ""} for each in said["neighbours"]]
    agreed = agreement(weighted(found), {each["task"] for each in found}) if found else None
    return agreed.task if agreed else UNKNOWN
