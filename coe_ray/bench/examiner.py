"""The actor of a bench: puts every question of a batch through the pipeline and notes what came of it."""

import asyncio
import uuid
from collections.abc import Awaitable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from ray.actor import ActorHandle

from coe_ray.cluster import hosted_models
from coe_ray.config import Profile
from coe_ray.errors import CallError, ContentFiltered
from coe_ray.models import local_models
from coe_ray.pipeline import CompositionOfExperts
from coe_ray.retrieval import Index, Retriever, SentenceEncoder, build_index
from coe_ray.runs import Record, question_of, records_table
from coe_ray.types import Answer, Classification, Neighbour, Question
from coe_ray.weights import locate

AT_ONCE = 64
"""Questions under way in one actor; each model has its own cap below that."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Assignment:
    """What an examiner needs to know; plain data, so that it can be sent to its process."""

    profile: Profile
    index: Path
    examples: tuple[Question, ...]
    failures: Path


class Examiner:
    """Asks the classifier and every expert once a question. What CoE answers is one of those answers.

    Questions with a failed call are no output: they are noted in `failures/`, stay without a checkpoint, and so
    are asked again when the same run is started again.
    """

    def __init__(self, assignment: Assignment, progress: ActorHandle) -> None:
        profile = assignment.profile
        models = local_models(profile) | hosted_models(profile)
        self._coe = CompositionOfExperts(profile, models, _retriever(assignment), None)
        self._failures = assignment.failures
        self._progress = progress
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, batch: pa.Table) -> pa.Table:
        self._progress.begin.remote()
        records = await asyncio.gather(*(self._examined(question_of(row)) for row in batch.to_pylist()))
        failed = [record for record in records if has_failed(record)]
        if failed:
            pq.write_table(records_table(failed), self._failures / f"{uuid.uuid4().hex}.parquet")
        return records_table(record for record in records if not has_failed(record))

    async def _examined(self, question: Question) -> Record:
        async with self._slots:
            asked = [_noted(self._coe.ask(expert, question)) for expert in self._coe.experts]
            (said, error), *answers = await asyncio.gather(_noted(self._coe.classify(question)), *asked)
        record: Record = {
            "id": question.id,
            "classification": _classification(said),
            "classification_error": error,
            "answers": {
                expert: _answer(answer, fault)
                for expert, (answer, fault) in zip(self._coe.experts, answers, strict=True)
            },
        }
        self._progress.add.remote(question.id, has_failed(record))
        return record


class _NoExamples:
    """What a classifier without retrieval has in place of an index."""

    async def nearest(self, _question: Question, _k: int) -> tuple[Neighbour, ...]:
        return ()


def _retriever(assignment: Assignment) -> Retriever:
    """The run's index, made here where there is none yet, so that only this process has to load the encoder."""
    if not assignment.profile.classifier.k:
        return _NoExamples()
    weights = assignment.profile.retrieval.encoder
    encoder = SentenceEncoder(weights.hub, locate(weights))
    if not assignment.index.is_dir():
        build_index(assignment.index, assignment.examples, encoder)
    return Index(assignment.index, encoder)


async def _noted(call: Awaitable[Result]) -> tuple[Result | None, dict[str, Any] | None]:
    """The result of a call, or what failed. Errors that are no call's pass: they are defects, not outages."""
    try:
        return await call, None
    except CallError as error:
        return None, {
            "error": type(error).__name__,
            "message": str(error),
            "attempts": error.attempts,
            "refused": isinstance(error, ContentFiltered),
        }


def _classification(said: Classification | None) -> dict[str, Any] | None:
    if said is None:
        return None
    noted = asdict(said)
    # The neighbours' texts are in the index; their ids are enough here.
    noted["neighbours"] = [
        {"id": near.question_id, "task": near.task, "similarity": near.similarity} for near in said.neighbours
    ]
    return noted


def _answer(answer: Answer | None, fault: dict[str, Any] | None) -> dict[str, Any]:
    if answer is None:
        return fault or {}
    completion = answer.completion
    return {
        "letter": answer.letter,
        "rule": answer.rule,
        "text": completion.text,
        "refused": completion.refusal is not None,
        "attempts": completion.attempts,
        "prompt_tokens": completion.usage.prompt_tokens,
        "completion_tokens": completion.usage.completion_tokens,
        "seconds": completion.seconds,
    }


def has_failed(record: Record) -> bool:
    """Whether a call of this question failed for good; a refusal is an answer."""
    faults = [record["classification_error"], *record["answers"].values()]
    return any(fault and "error" in fault and not fault.get("refused") for fault in faults)
