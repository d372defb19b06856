"""Question + neighbours → classification: one call of a general LLM that was never trained for these tasks (eq. 6)."""

from collections.abc import Sequence

from coe_ray.chat import ChatModel
from coe_ray.config import ClassifierConfig
from coe_ray.parsing import parse_task
from coe_ray.prompts import classifier_prompt, task_label
from coe_ray.types import UNKNOWN, Call, Classification, Neighbour, Question, Task


class Classifier:
    """Names the task of a question out of a closed list; the list is in the prompt, so it may change at any time."""

    def __init__(self, model: ChatModel, config: ClassifierConfig, tasks: Sequence[Task]) -> None:
        self._model = model
        self._config = config
        self._tasks = tuple(tasks)
        self._names = tuple(task.name for task in tasks)

    async def classify(self, question: Question, neighbours: tuple[Neighbour, ...]) -> Classification:
        """Raises `CallError` where the model could not be asked: an outage is no *unknown*."""
        messages = classifier_prompt(question, self._tasks, neighbours, self._config.example_chars)
        choices = tuple(map(task_label, (*self._names, UNKNOWN))) if self._config.decoding == "constrained" else ()
        call = Call(messages, self._config.settings.settings(), choices, question)
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
