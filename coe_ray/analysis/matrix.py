"""Matrix of a run: every answer and label as arrays, from which each system follows without another call."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from coe_ray.analysis.metrics import grade, outcome_of
from coe_ray.core.errors import DataError
from coe_ray.core.run_folder import QuestionRecord
from coe_ray.core.types import LETTERS, OUTCOMES, UNKNOWN, Question
from coe_ray.llm.recordings import Recording
from coe_ray.retrieval.index import weigh_neighbours
from coe_ray.routing.classifier import neighbour_vote
from coe_ray.routing.parsing import parse_letter

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.intp]

CORRECT, FAILED = OUTCOMES.index("correct"), OUTCOMES.index("failed")
NO_LETTER = -1

OWN = "classifier"
"""The labels of a run's one classifier, where no others were measured."""

NEIGHBOURS = "neighbours"
"""The label that the retrieved neighbours vote for, kept beside those of the classifiers."""

Labels = tuple[str | None, ...]
"""One a question: a task, *unknown*, or `None` where the call to the classifier failed."""


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
    def from_records(cls, questions: Mapping[str, Question], records: Iterable[QuestionRecord]) -> "Matrix":
        """Of a run's records, one after the other: their texts are not kept.

        Raises `DataError` where there is none, or one knows other experts than the others.
        """
        rows = [_row(questions[each["id"]], each) for each in records if each["id"] in questions]
        if not rows:
            raise DataError("the run has no records yet; finish it first")
        rows.sort(key=lambda row: row.question.id)
        experts = tuple(rows[0].answers)
        if any(tuple(row.answers) != experts for row in rows):
            raise DataError("the run's records do not all have the same experts; begin it anew")
        answers = np.array([list(row.answers.values()) for row in rows], dtype=np.intp).transpose(2, 1, 0)
        return cls(tuple(row.question for row in rows), experts, answers[0], answers[1], answers[2:], _labels(rows))

    @classmethod
    def from_recordings(
        cls, recordings: Iterable[Recording], questions: Mapping[str, Question] = MappingProxyType({})
    ) -> "Matrix":
        """Of a table of past results, limited to the questions that every expert answered.

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
        known = tuple(questions.get(id_) or _recorded_question(id_, row.values()) for id_, row in rows.items())
        answers = [
            [_recorded_answer(question, row[expert]) for question, row in zip(known, rows.values(), strict=True)]
            for expert in experts
        ]
        outcomes, letters = np.array(answers, dtype=np.intp).transpose(2, 0, 1)
        return cls(known, experts, outcomes, letters, np.zeros((2, *outcomes.shape), dtype=np.intp))

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


class _Row(NamedTuple):
    """What is kept of one record: of each expert's answer outcome, letter, prompt and completion tokens."""

    question: Question
    answers: dict[str, tuple[int, int, int, int]]
    labels: dict[str, str | None]
    votes: dict[str, str]


def _row(question: Question, record: QuestionRecord) -> _Row:
    labels = record.get("labels") or {OWN: record["classification"] or record["classification_error"]}
    answers = {
        name: (
            OUTCOMES.index(outcome_of(question, each)),
            _letter(each),
            each.get("prompt_tokens") or 0,
            each.get("completion_tokens") or 0,
        )
        for name, each in record["answers"].items()
    }
    votes = {name: _vote(each) for name, each in labels.items() if each.get("neighbours")}
    return _Row(question, answers, {name: _label(each) for name, each in labels.items()}, votes)


def _recorded_answer(question: Question, recording: Recording) -> tuple[int, int]:
    """Outcome and letter."""
    text = recording.answer or ""
    letter = _place(parse_letter(text, question.letters or LETTERS).value)
    if recording.correct is not None:
        return OUTCOMES.index("correct" if recording.correct else "wrong"), letter
    if question.answer is None:
        raise DataError(f"recorded result on {question.id!r}: neither its right answer nor `correct` is known")
    return OUTCOMES.index(grade(parse_letter(text, question.letters).value, question.answer)), letter


def _letter(answer: Mapping[str, Any]) -> int:
    """A refusal's letter, if one was found in it, is no answer."""
    return NO_LETTER if answer.get("refused") else _place(answer.get("letter"))


def _place(letter: str | None) -> int:
    return NO_LETTER if letter is None else LETTERS.find(letter)


def _recorded_question(id_: str, rows: Iterable[Recording]) -> Question:
    task = next((each.task for each in rows if each.task), None)
    if task is None:
        raise DataError(f"recorded results on {id_!r} name no task; fill the column task in, or give the question")
    return Question(id_, "", task=task)


def _labels(rows: Sequence[_Row]) -> dict[str, Labels]:
    """Each classifier's label of each question, and their neighbours' vote."""
    labels: dict[str, Labels] = {name: tuple(row.labels[name] for row in rows) for name in rows[0].labels}
    # The first record may be one of a failed call, which has none.
    with_neighbours = [name for name in labels if any(name in row.votes for row in rows)]
    if with_neighbours:
        name = with_neighbours[0]
        labels[NEIGHBOURS] = tuple(row.votes.get(name, None if row.labels[name] is None else UNKNOWN) for row in rows)
    return labels


def _label(classification: Mapping[str, Any]) -> str | None:
    """A classifier that refuses names no task, as one does that fits none."""
    task: str | None = classification.get("task")
    return UNKNOWN if task is None and classification.get("refused") else task


def _vote(classification: Mapping[str, Any]) -> str:
    neighbours = [{**each, "question_id": each["id"], "text": ""} for each in classification["neighbours"]]
    vote = neighbour_vote(weigh_neighbours(neighbours), {each["task"] for each in neighbours})
    return vote.task if vote else UNKNOWN
