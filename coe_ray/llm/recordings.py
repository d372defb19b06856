"""Recordings: a table of past results, each expert's on each question, and the chat model that answers from it.

    question   the question's id, or any other name of it
    expert     the expert; may be missing where the table is one expert's
    answer     its answer, a letter or text,  or
    correct    whether it was right (true, false, 1, 0); one of the two must be there
    task       the question's task,           may be missing
    cost       of the call, in any currency,  may be missing

CSV, JSONL or Parquet. Such tables need no Ray: `Leaderboard.from_scores(count_scores(read_recordings(path)))`.
"""

from codecs import BOM_UTF8
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pyarrow as pa
from pyarrow import csv, parquet

from coe_ray.core.abilities import Ability
from coe_ray.core.chat_model import stream_completion
from coe_ray.core.errors import BadCall, DataError
from coe_ray.core.types import Call, Completion, Delta, Question
from coe_ray.routing.prompts import answer_sentence

_TRUTH = dict.fromkeys(("true", "1", "1.0", "yes"), True) | dict.fromkeys(("false", "0", "0.0", "no"), False)


@dataclass(frozen=True, slots=True)
class Recording:
    """One expert's result on one question: its `answer`, or only whether it was `correct`."""

    question: str
    expert: str
    answer: str | None = None
    correct: bool | None = None
    task: str | None = None
    cost: float | None = None


def read_recordings(path: Path) -> tuple[Recording, ...]:
    """The recordings in a table. Raises `DataError`: no such table, an invalid cell, or a question and expert twice."""
    rows = _rows(path)
    if not rows:
        raise DataError(f"{path}: holds no recorded results")
    columns = {name for row in rows for name in row}
    if "question" not in columns or not {"answer", "correct"} & columns:
        raise DataError(f"{path}: recorded results need the columns question and answer or correct")
    recordings = tuple(_recordings(path, rows))
    pairs = Counter((each.question, each.expert) for each in recordings)
    if duplicates := [pair for pair, count in pairs.items() if count > 1]:
        question, expert = duplicates[0]
        raise DataError(f"{path}: question {question!r} of expert {expert!r} stands there twice; keep one of them")
    return recordings


def count_scores(recordings: Iterable[Recording]) -> list[tuple[str, str, int, int]]:
    """(expert, task, correct, total), for `Leaderboard.from_scores`.

    Raises `DataError` where a task is missing, or whether a result was correct.
    """
    right: Counter[tuple[str, str]] = Counter()
    total: Counter[tuple[str, str]] = Counter()
    for each in recordings:
        if each.task is None or each.correct is None:
            missing = "task" if each.task is None else "correct"
            raise DataError(f"recorded result of {each.expert!r} on {each.question!r} has no {missing}; fill it in")
        total[each.expert, each.task] += 1
        right[each.expert, each.task] += each.correct
    return [(expert, task, right[expert, task], count) for (expert, task), count in total.items()]


class RecordedAnswers:
    """Chat model of recorded answers. A question without one is a failed call, never a wrong answer."""

    reads: ClassVar[frozenset[Ability]] = frozenset({"choice"})

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


def _rows(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]]
    try:
        match path.suffix:
            case ".csv":
                rows = _read_csv(path).to_pylist()
            case ".jsonl":
                rows = _read_jsonl(path)
            case ".parquet":
                rows = parquet.read_table(path).to_pylist()
            case _:
                raise DataError(f"{path}: recorded results are .csv, .jsonl or .parquet")
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as recorded results: {error}") from error
    return rows


def _read_csv(path: Path) -> Any:
    # Ids of digits only are no numbers, and the answer "true" is no truth value.
    columns = dict.fromkeys(("question", "expert", "answer", "correct", "task"), pa.string())
    options = csv.ConvertOptions(column_types=columns, strings_can_be_null=True, null_values=[""])
    return csv.read_csv(path, parse_options=csv.ParseOptions(newlines_in_values=True), convert_options=options)


def _read_jsonl(path: Path) -> list[dict[str, Any]]:
    # Not pyarrow's reader: to it an id such as "2024-01-02" is a time.
    rows = [orjson.loads(line) for line in path.read_bytes().removeprefix(BOM_UTF8).splitlines() if line.strip()]
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ValueError(f"row {number} is not an object")
    return rows


def _recordings(path: Path, rows: Iterable[Mapping[str, Any]]) -> Iterator[Recording]:
    for number, row in enumerate(rows, 1):
        cells = {name: cell for name, cell in row.items() if cell is not None}
        texts = {name: str(cells[name]) for name in ("answer", "task") if name in cells}
        if "question" not in cells:
            raise DataError(f"{path}: row {number} names no question")
        if not cells.keys() & {"answer", "correct"}:
            continue  # an empty row of a grid
        try:
            correct = _TRUTH[str(cells["correct"]).strip().lower()] if "correct" in cells else None
        except KeyError:
            raise DataError(f"{path}: row {number}: correct is {cells['correct']!r}; write true or false") from None
        try:
            cost = float(str(cells["cost"])) if "cost" in cells else None
        except ValueError:
            raise DataError(f"{path}: row {number}: cost is {cells['cost']!r}; write a number") from None
        yield Recording(str(cells["question"]), str(cells.get("expert", "")), correct=correct, cost=cost, **texts)
