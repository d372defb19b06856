"""What came of one question: everything that was asked about it, put down as plain data."""

import asyncio
from collections.abc import Awaitable
from dataclasses import asdict
from typing import Any, TypeVar

from coe_ray.errors import CallError, ContentFiltered
from coe_ray.pipeline import CompositionOfExperts
from coe_ray.runs import Record
from coe_ray.types import Answer, Classification, Question

Result = TypeVar("Result")


async def examined(coe: CompositionOfExperts, question: Question) -> Record:
    """Ask the classifier and every expert. What CoE answers is one of those answers."""
    asked = [_noted(coe.ask(expert, question)) for expert in coe.experts]
    (said, error), *answers = await asyncio.gather(_noted(coe.classify(question)), *asked)
    noted = zip(coe.experts, answers, strict=True)
    return {
        "id": question.id,
        "classification": _classification(said),
        "classification_error": error,
        "answers": {expert: _answer(answer, fault) for expert, (answer, fault) in noted},
    }


def has_failed(record: Record) -> bool:
    """Whether a call of this question failed for good; a refusal is an answer."""
    faults = [record["classification_error"], *record["answers"].values()]
    return any(fault and "error" in fault and not fault.get("refused") for fault in faults)


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
    }
