"""Task classifier: question and neighbours → task, by one call of a general, untrained LLM (eq. 6).

Where the profile sets `skip_llm_above`, neighbours that agree strongly enough replace the call.
"""

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import replace

from coe_ray.core.chat_model import ChatModel
from coe_ray.core.errors import CallError, CallTimeout, ContextTooLong
from coe_ray.core.fail_fast import fail_fast
from coe_ray.core.types import UNKNOWN, Call, Classification, Neighbour, Question, Task
from coe_ray.profile.experts import ClassifierConfig
from coe_ray.routing.conversation import QUESTION_CHARS, shorten
from coe_ray.routing.parsing import parse_task
from coe_ray.routing.prompts import classifier_prompt, task_label

log = logging.getLogger("ray.serve")  # whose handlers write the replicas' log files

MIN_QUESTION_CHARS = 500
"""Characters below which a question is not shortened further for the LLM."""


class Classifier:
    """Classifier over a closed list of tasks. The list is in the prompt, so it may change at any time."""

    def __init__(self, model: ChatModel, config: ClassifierConfig, tasks: Sequence[Task]) -> None:
        self._model = model
        self._config = config
        self._tasks = tuple(tasks)
        self._names = tuple(task.name for task in tasks)
        self._question_chars = QUESTION_CHARS

    async def classify_live(self, question: Question, neighbours: tuple[Neighbour, ...]) -> Classification:
        """The task of a live question: the neighbours' label where the LLM fails or is slow, which `fallback` says.

        A question that is too long for the LLM is shortened, and so are the next ones.
        """
        try:
            async with asyncio.timeout(self._config.live_timeout_s):
                with fail_fast():
                    return await self._classify_shortened(question, neighbours)
        except TimeoutError:
            reason = CallTimeout.__name__
        except CallError as error:
            log.warning("classifier: %s; the neighbours' label is taken", error)
            reason = type(error).__name__
        vote = neighbour_vote(neighbours, self._names) or Classification(UNKNOWN, "", "", 0.0, neighbours, "neighbours")
        return replace(vote, rule="the classifier did not answer", fallback=reason)

    async def _classify_shortened(self, question: Question, neighbours: tuple[Neighbour, ...]) -> Classification:
        limit = self._question_chars
        while True:
            short = replace(question, text=shorten(question.text, limit))
            try:
                classification = await self.classify(short, neighbours)
            except ContextTooLong:
                if limit <= MIN_QUESTION_CHARS:
                    raise
                neighbours = neighbours[: len(neighbours) // 2]
                limit //= 2
            else:
                if len(question.text) > limit:  # nothing is learned from options or neighbours that were too long
                    self._question_chars = min(self._question_chars, limit)
                return classification

    async def classify(self, question: Question, neighbours: tuple[Neighbour, ...]) -> Classification:
        """The task of a question. Raises `CallError` where the model fails: an outage is not *unknown*."""
        threshold = self._config.skip_llm_above
        if threshold is not None and (vote := neighbour_vote(neighbours, self._names)) and vote.confidence >= threshold:
            return vote
        return await self._classify_by_llm(question, neighbours)

    async def _classify_by_llm(self, question: Question, neighbours: tuple[Neighbour, ...]) -> Classification:
        config = self._config
        messages = classifier_prompt(question, self._tasks, neighbours, config.example_chars, config.instruction)
        choices = tuple(map(task_label, (*self._names, UNKNOWN))) if config.decoding == "constrained" else ()
        call = Call(messages, config.settings, choices, question)
        completion = await self._model.complete(call)
        label = parse_task(completion.text, self._names)
        task = label.value or UNKNOWN
        return Classification(
            task=task,
            rule=label.rule,
            raw=completion.text,
            confidence=sum((neighbour.weight for neighbour in neighbours if neighbour.task == task), 0.0),
            neighbours=neighbours,
            usage=completion.usage,
            attempts=completion.attempts,
            seconds=completion.seconds,
        )


def neighbour_vote(neighbours: Sequence[Neighbour], names: Collection[str]) -> Classification | None:
    """The listed task with the most neighbour weight; `None` where no neighbour has a listed task."""
    weights: dict[str, float] = {}
    for neighbour in neighbours:  # nearest first, which decides between equals
        if neighbour.task in names:
            weights[neighbour.task] = weights.get(neighbour.task, 0.0) + neighbour.weight
    if not weights:
        return None
    task = max(weights, key=weights.__getitem__)
    # Weights add up to 1 but for rounding: a unanimous vote must reach a threshold of 1.
    confidence = min(round(weights[task], 9), 1.0)
    return Classification(task, "the neighbours agree", "", confidence, tuple(neighbours), by="neighbours")
