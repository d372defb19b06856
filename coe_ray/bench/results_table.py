"""What came of one question: everything that was asked about it, put down as plain data."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, TypeVar

from coe_ray.core.errors import CallError, ContentFiltered
from coe_ray.core.run_folder import QuestionRecord
from coe_ray.core.types import Answer, Classification, Question
from coe_ray.routing.pipeline import CompositionOfExperts

Result = TypeVar("Result")


async def evaluate_question(
    coe: CompositionOfExperts, question: Question, labellers: Mapping[str, CompositionOfExperts] = MappingProxyType({})
) -> QuestionRecord:
    """Ask the classifier, the other `labellers` and every expert. What CoE answers is one of those answers."""
    classified = [_noted(each.classify(question)) for each in (coe, *labellers.values())]
    asked = [_noted(coe.answer_question(expert, question)) for expert in coe.experts]
    said, answers = await asyncio.gather(asyncio.gather(*classified), asyncio.gather(*asked))
    record = {
        "id": question.id,
        "classification": _classification(said[0][0]),
        "classification_error": said[0][1],
        "answers": {name: _answer(*each) for name, each in zip(coe.experts, answers, strict=True)},
    }
    if labellers:
        labels = zip(labellers, said[1:], strict=True)
        record["labels"] = {name: _classification(each) or error for name, (each, error) in labels}
    return record


def has_failed(record: QuestionRecord) -> bool:
    """Whether a call of this question failed for good; a refusal is an answer."""
    return bool(failures(record))


def failures(record: QuestionRecord) -> list[str]:
    """The classes of the errors of the calls that failed for good."""
    faults = [record["classification_error"], *record.get("labels", {}).values(), *record["answers"].values()]
    return [fault["error"] for fault in faults if fault and "error" in fault and not fault.get("refused")]


async def _noted(call: Awaitable[Result]) -> tuple[Result | None, dict[str, Any] | None]:
    """The result of a call, or what failed. Errors that are no call's pass: they are defects, not outages."""
    try:
        return await call, None
    except CallError as error:
        return None, {
            "error": type(error).__name__,
            "message": str(error),
            "status": error.status,
            "attempts": error.attempts,
            "body": error.body,
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
        **({"chances": dict(answer.chances)} if answer.chances else {}),
    }
