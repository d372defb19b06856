"""Index of a run's journal by question: the prompts that were sent about it, and the models that got them.

The journal itself finds a call by the hash of everything in it. Its files are appended to, never changed: the index
reads on where it stopped, so that each line is read once, however often the console asks.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import orjson

from coe_ray.core.types import Question
from coe_ray.journal.segments import PROMPTS, is_segment

READ_AT_MOST = 256 << 20
"""Bytes read for one request; of a larger journal the next request reads on."""

PROMPTS_AT_MOST = 50
"""Prompts of one question."""


@dataclass(slots=True)
class Prompt:
    """One prompt with the models that got it, and the systems that use it. `sent`: the journal has it."""

    messages: list[dict[str, str]]
    sent: bool
    models: list[str]
    systems: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Entry:
    """Place of a prompt in its file."""

    file: Path
    offset: int
    length: int
    models: set[str] = field(default_factory=set)


class PromptIndex:
    """The prompts of the journal in a folder about some questions. Thread-safe; one thread at a time reads on."""

    def __init__(self, journal: Path, questions: Iterable[Question]) -> None:
        self._journal = journal
        self._ids = {question.full_text: question.id for question in questions}
        self._longest = max(map(len, self._ids), default=0)
        self._offsets: Counter[Path] = Counter()
        self._by_question: dict[str, list[_Entry]] = {}
        self._by_hash: dict[str, _Entry] = {}
        self._lock = Lock()

    def find(self, question_id: str) -> list[Prompt]:
        """The prompts about a question, as far as `READ_AT_MOST` lets them be found. Raises `OSError`."""
        with self._lock:
            self._read_on()
            entries = self._by_question.get(question_id, [])
            return [Prompt(_read_messages(entry), True, sorted(entry.models)) for entry in entries]

    def _read_on(self) -> None:
        """Prompts first: a call's prompt is in its file before the call is."""
        files = sorted(self._journal.iterdir())
        segments = [(file, file.stat().st_size) for file in files if is_segment(file.name)]
        prompts = [(file, file.stat().st_size) for file in files if file.name.endswith(PROMPTS)]
        budget = READ_AT_MOST
        for file, offset, line in self._new_lines(prompts):
            self._add_prompt(_Entry(file, offset, len(line)), line)
            if (budget := budget - len(line)) < 0:
                return
        for _, _, line in self._new_lines(segments):
            self._add_call(line)
            if (budget := budget - len(line)) < 0:
                return

    def _new_lines(self, files: Iterable[tuple[Path, int]]) -> Iterator[tuple[Path, int, bytes]]:
        """Whole lines up to the given sizes with their offsets; each counts as read once it is yielded."""
        for path, size in files:
            if (offset := self._offsets[path]) == size:
                continue
            with path.open("rb") as file:
                file.seek(offset)
                while offset < size and (line := file.readline()).endswith(b"\n"):
                    self._offsets[path] = offset + len(line)
                    yield path, offset, line
                    offset += len(line)

    def _add_prompt(self, entry: _Entry, line: bytes) -> None:
        read = _read_fields(line, lambda content: (content["prompt"], content["messages"][-1]["content"]))
        if read is None or read[0] in self._by_hash:  # each worker writes a file of prompts of its own
            return
        if (question_id := self._question_of(read[1])) is None:
            return
        entries = self._by_question.setdefault(question_id, [])
        if len(entries) < PROMPTS_AT_MOST:
            entries.append(entry)
            self._by_hash[read[0]] = entry

    def _add_call(self, line: bytes) -> None:
        if not line.startswith(b'{"issued"'):
            return
        read = _read_fields(line, lambda content: (content["prompt"], content["model"]))
        if read and (entry := self._by_hash.get(read[0])):
            entry.models.add(read[1])

    def _question_of(self, content: str) -> str | None:
        """The id of the question that a prompt's last message asks; others may stand there as examples."""
        texts = _suffixes(content, self._longest) if is_classifier_prompt(content) else _prefixes(content)
        return next((self._ids[text] for text in texts if text in self._ids), None)


def is_classifier_prompt(content: str) -> bool:
    """Whether a prompt's last message asks for a task: in its last paragraph, after the question."""
    return "**Task: " in content.rpartition("\n\n")[2]


def _prefixes(content: str) -> Iterator[str]:
    """The message and its beginnings up to a newline, the longest first: an instruction may follow the question."""
    end = len(content)
    while end >= 0:
        yield content[:end]
        end = content.rfind("\n", 0, end)


def _suffixes(content: str, longest: int) -> Iterator[str]:
    """What stands behind each `: ` of a classifier's message without its last paragraph, the longest first."""
    body, _, _ = content.rpartition("\n\n")
    start = body.find(": ", max(0, len(body) - longest - 2))
    while start >= 0:
        yield body[start + 2 :]
        start = body.find(": ", start + 2)


def _read_fields(line: bytes, fields: Callable[[Any], tuple[str, str]]) -> tuple[str, str] | None:
    """Two fields of the JSON on a line; `None` where it has none such, whatever a broken disk made of it."""
    try:
        first, second = fields(orjson.loads(line))
    except (ValueError, LookupError, TypeError):
        return None
    return str(first), str(second)


def _read_messages(entry: _Entry) -> list[dict[str, str]]:
    with entry.file.open("rb") as file:
        file.seek(entry.offset)
        messages: list[dict[str, str]] = orjson.loads(file.read(entry.length))["messages"]
    return messages
