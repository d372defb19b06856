"""Chat model that answers from a table of recorded answers."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from coe_ray.core.chat_model import stream_completion
from coe_ray.core.errors import BadCall, DataError
from coe_ray.core.types import Call, Completion, Delta, Question
from coe_ray.llm.recordings import Recording, read_recordings
from coe_ray.routing.prompts import answer_sentence


class RecordedAnswers:
    """Chat model of recorded answers. A question without one is a failed call, never a wrong answer."""

    def __init__(self, name: str, recordings: Mapping[str, Recording]) -> None:
        self.name = name
        self._recordings = recordings

    @classmethod
    def load(cls, name: str, path: Path, expert: str | None = None) -> "RecordedAnswers":
        """The results of `expert` in the table at `path`. Raises `DataError`: no such table, or none of that expert."""
        recordings = read_recordings(path)
        experts = sorted({each.expert for each in recordings})
        if expert is None and len(experts) > 1:
            raise DataError(f"{path}: has results of {', '.join(experts)}; name one with `expert`")
        own = [each for each in recordings if expert is None or each.expert == expert]
        if expert is not None and not own:
            raise DataError(f"{path}: has no results of {expert!r}, only of {', '.join(experts)}")
        return cls(name, {each.question: each for each in own})

    async def complete(self, call: Call) -> Completion:
        recording = self._recordings.get(call.question.id) if call.question else None
        if call.question is None or recording is None:
            question = call.question.id if call.question else "no question"
            raise BadCall(self.name, f"no recorded answer for {question}; record it or leave the question out")
        return Completion(self._answer_text(recording, call.question))

    def stream(self, call: Call) -> AsyncIterator[Delta]:
        return stream_completion(self, call)

    def _answer_text(self, recording: Recording, question: Question) -> str:
        """The recorded text. Where only right or wrong was recorded: the right letter, or the one after it."""
        if recording.answer is not None:
            return recording.answer
        if question.answer is None:
            raise BadCall(self.name, f"only right or wrong was recorded for {question.id}, and its answer is not known")
        letters = question.letters
        place = letters.index(question.answer) + (not recording.correct)
        return answer_sentence(letters[place % len(letters)])
