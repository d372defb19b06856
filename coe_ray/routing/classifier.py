"""Question + neighbours → classification: one call of a general LLM that was never trained for these tasks (eq. 6).

A cascade where the profile wants it: neighbours that agree strongly enough make the call superfluous.
"""

from collections.abc import Collection, Sequence

from coe_ray.core.chat_model import ChatModel
from coe_ray.core.types import UNKNOWN, Call, Classification, Neighbour, Question, Task
from coe_ray.profile.experts import ClassifierConfig
from coe_ray.routing.parsing import parse_task
from coe_ray.routing.prompts import classifier_prompt, task_label


class Classifier:
    """Names the task of a question out of a closed list; the list is in the prompt, so it may change at any time."""

    def __init__(self, model: ChatModel, config: ClassifierConfig, tasks: Sequence[Task]) -> None:
        self._model = model
        self._config = config
        self._tasks = tuple(tasks)
        self._names = tuple(task.name for task in tasks)

    async def classify(self, question: Question, neighbours: tuple[Neighbour, ...]) -> Classification:
        """Raises `CallError` where the model could not be asked: an outage is no *unknown*."""
        enough = self._config.skip_llm_above
        if enough is not None and (agreed := agreement(neighbours, self._names)) and agreed.confidence >= enough:
            return agreed
        return await self._asked(question, neighbours)

    async def _asked(self, question: Question, neighbours: tuple[Neighbour, ...]) -> Classification:
        config = self._config
        messages = classifier_prompt(question, self._tasks, neighbours, config.example_chars, config.instruction)
        choices = tuple(map(task_label, (*self._names, UNKNOWN))) if self._config.decoding == "constrained" else ()
        call = Call(messages, self._config.settings, choices, question)
        completion = await self._model.complete(call)
        label = parse_task(completion.text, self._names)
        task = label.value or UNKNOWN
        return Classification(
            task=task,
            rule=label.rule,
            raw=completion.text,
            confidence=sum((near.weight for near in neighbours if near.task == task), 0.0),
            neighbours=neighbours,
            usage=completion.usage,
            attempts=completion.attempts,
            seconds=completion.seconds,
        )


def agreement(neighbours: Sequence[Neighbour], names: Collection[str]) -> Classification | None:
    """The task of the list that most of the neighbours' weight is on; `None` where no neighbour is of a listed task."""
    weights: dict[str, float] = {}
    for near in neighbours:  # nearest first, which decides between equals
        if near.task in names:
            weights[near.task] = weights.get(near.task, 0.0) + near.weight
    if not weights:
        return None
    task = max(weights, key=weights.__getitem__)
    # Weights add up to 1 but for rounding: four neighbours of one mind must reach a threshold of 1.
    confidence = min(round(weights[task], 9), 1.0)
    return Classification(task, "the neighbours agree", "", confidence, tuple(neighbours), by="neighbours")
