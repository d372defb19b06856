"""Recorded results as an expert: a table of past answers stands in for a live model."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from coe_ray.core.chat_model import stream_completion
from coe_ray.core.errors import BadCall, DataError
from coe_ray.core.types import Call, Completion, Delta, Question
from coe_ray.llm.recordings import Recording, read_recordings
from coe_ray.routing.prompts import answer_sentence


class RecordedAnswers:
    """Says again what was recorded; a question that was not recorded is a failed call, never a wrong answer."""

    def __init__(self, name: str, recordings: Mapping[str, Recording]) -> None:
        self.name = name
        self._recordings = recordings

    @classmethod
    def load(cls, name: str, path: Path, expert: str | None = None) -> "RecordedAnswers":
        """Of the table at `path` what is `expert`'s. Raises `DataError`: no such table, or nothing of his in it."""
        recordings = read_recordings(path)
        experts = sorted({each.expert for each in recordings})
        if expert is None and len(experts) > 1:
            raise DataError(f"{path}: has results of {', '.join(experts)}; say with `expert` whose are meant")
        own = [each for each in recordings if expert is None or each.expert == expert]
        if expert is not None and not own:
            raise DataError(f"{path}: has no results of {expert!r}, only of {', '.join(experts)}")
        return cls(name, {each.question: each for each in own})

    async def complete(self, call: Call) -> Completion:
        recording = self._recordings.get(call.question.id) if call.question else None
        if call.question is None or recording is None:
            asked = call.question.id if call.question else "no question"
            raise BadCall(self.name, f"no recorded answer for {asked}; record it or leave the question out")
        return Completion(self._said(recording, call.question))

    def stream(self, call: Call) -> AsyncIterator[Delta]:
        return stream_completion(self, call)

    def _said(self, recording: Recording, question: Question) -> str:
        """What was answered. Where only right or wrong was noted: the right letter, or the one that follows it."""
        if recording.answer is not None:
            return recording.answer
        if question.answer is None:
            raise BadCall(self.name, f"only right or wrong was recorded for {question.id}, and its answer is not known")
        letters = question.letters
        place = letters.index(question.answer) + (not recording.correct)
        return answer_sentence(letters[place % len(letters)])
