"""Models for the console's tests: one that sorts by a word of the question, and speakers that take their time."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Mapping

from coe_ray.core.chat_model import stream_completion
from coe_ray.core.errors import ContentFiltered, ServerFault
from coe_ray.core.types import UNKNOWN, Call, Completion, Delta, Question, Usage

PAUSE_S = 0.06
"""Between two words of a stream."""

ECHO = "Repeat after me:"
"""What follows it is the answer, as it is."""

WORDS: Mapping[str, str] = {
    "merged": "Build",
    "变基": "Build",
    "pod": "Operate",
    "masks": "Log Parser",
    "Service map": "Root Cause Analysis",
    "measurements": "Time Series Forecasting",
    "pipeline": "Release",
    "发布": "Release",
    "repeat": "Test",
}
"""The first of these that stands in a question says its task."""


class Sorter:
    """Names the task by a word of the question; of a benchmark's question mostly the right one."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def complete(self, call: Call) -> Completion:
        question = re.split(r"(?:Question|问题): ", call.messages[-1].content)[-1]
        task = next((task for word, task in WORDS.items() if word.lower() in question.lower()), None)
        if task is None and call.question is not None and luck(call.question, self.name) < 0.8:
            task = call.question.task
        text = f"**Task: {task or UNKNOWN}**"
        return Completion(text, usage=Usage(len(question.split()), 6), seconds=0.03)

    def stream(self, call: Call) -> AsyncIterator[Delta]:
        return stream_completion(self, call)


class Speaker:
    """Knows the answers to a benchmark as often as its name's luck has it. `cinder` breaks on every live question."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def complete(self, call: Call) -> Completion:
        question = call.question
        if question is None or question.answer is None:
            return Completion(self._answer(call), usage=Usage(40, 20))
        return self._answer_benchmark(question)

    async def stream(self, call: Call) -> AsyncIterator[Delta]:
        if self.name == "cinder":
            raise ServerFault(self.name, "the engine is out of memory", status=503)
        words = re.findall(r"\s*\S+|\s+$", self._answer(call))
        for word in words:
            await asyncio.sleep(PAUSE_S)
            yield Delta(word)
        yield Delta("", "stop", Usage(57, len(words)))

    def _answer(self, call: Call) -> str:
        text = call.messages[-1].content
        if ECHO in text:
            return text.partition(ECHO)[2].strip()
        if re.search(r"[\u4e00-\u9fff]", text):
            return "先看现象： 选项 中 只有 一项 与 现象 相符， 其余 各项 都 无法 解释 它。 the answer is (A)"
        return (
            "The symptom names the step that fails. Two of the options treat a later step, and one would hide it. "
            "What is left addresses the cause, and it can be undone.\n\nSo the answer is (A)."
        )

    def _answer_benchmark(self, question: Question) -> Completion:
        chance = luck(question, self.name)
        if chance > 0.95 and self.name == "cinder":
            raise ServerFault(self.name, "upstream connect error: connection refused", status=503, attempts=6)
        if chance > 0.97:
            raise ContentFiltered(self.name, "the provider's filter stopped it")
        if chance > 0.92:
            return Completion("I would look at the <b>logs</b> first; it depends.", usage=Usage(80, 11), seconds=0.4)
        skill = {"aria": 0.55, "basalt": 0.45, "cinder": 0.6}.get(self.name, 0.3)
        letters = question.letters
        letter = question.answer if chance < skill else letters[int(chance * 1000) % len(letters)]
        return Completion(f"Step by step.\nThe answer is ({letter}).", usage=Usage(80, 7), seconds=0.2 + chance)


class Aria(Speaker):
    """A class of its own, so that its answers are its own in the journal."""


class Basalt(Speaker):
    """As `Aria`."""


class Cinder(Speaker):
    """As `Aria`."""


def luck(question: Question, name: str) -> float:
    """In [0, 1], the same each time."""
    return int(hashlib.sha256(f"{name} {question.id}".encode()).hexdigest()[:8], 16) / 16**8
