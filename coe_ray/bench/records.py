"""Record of one question: everything that was asked about it and what came back, as plain data."""

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
    coe: CompositionOfExperts,
    question: Question,
    extra_classifiers: Mapping[str, CompositionOfExperts] = MappingProxyType({}),
) -> QuestionRecord:
    """Ask the classifier, the `extra_classifiers` and every expert. CoE's own answer is one of the experts'."""
    classify_calls = [_settle(classifier.classify(question)) for classifier in (coe, *extra_classifiers.values())]
    expert_calls = [_settle(coe.answer_question(expert, question)) for expert in coe.experts]
    labels, answers = await asyncio.gather(asyncio.gather(*classify_calls), asyncio.gather(*expert_calls))
    (classification, classification_error), *extra_labels = labels
    record = {
        "id": question.id,
        "classification": _classification_fields(classification),
        "classification_error": classification_error,
        "answers": {name: _answer_fields(*answer) for name, answer in zip(coe.experts, answers, strict=True)},
    }
    if extra_classifiers:
        record["labels"] = {
            name: _classification_fields(label) or error
            for name, (label, error) in zip(extra_classifiers, extra_labels, strict=True)
        }
    return record


def failed_calls(record: QuestionRecord) -> list[str]:
    """Error classes of the calls that failed for good; a refusal is an answer."""
    results = [record["classification_error"], *record.get("labels", {}).values(), *record["answers"].values()]
    return [result["error"] for result in results if result and "error" in result and not result.get("refused")]


async def _settle(call: Awaitable[Result]) -> tuple[Result | None, dict[str, Any] | None]:
    """The result of a call, or its error as plain data. Errors that are no `CallError` are defects, and pass."""
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


def _classification_fields(classification: Classification | None) -> dict[str, Any] | None:
    if classification is None:
        return None
    # Of the neighbours the ids are enough: their texts are in the index.
    neighbours = [
        {"id": near.question_id, "task": near.task, "similarity": near.similarity} for near in classification.neighbours
    ]
    return asdict(classification) | {"neighbours": neighbours}


def _answer_fields(answer: Answer | None, error: dict[str, Any] | None) -> dict[str, Any]:
    if answer is None:
        return error or {}
    completion = answer.completion
    return {
        "letter": answer.letter,
        "rule": answer.rule,
        "text": completion.text,
        "finish_reason": completion.finish_reason,
        "refused": completion.refusal is not None,
        "attempts": completion.attempts,
        "prompt_tokens": completion.usage.prompt_tokens,
        "completion_tokens": completion.usage.completion_tokens,
        "seconds": completion.seconds,
        **({"chances": dict(answer.chances)} if answer.chances else {}),
    }
