"""Recorded answers as an expert: a table (question id, answer) stands in for a live model."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pyarrow as pa
from pyarrow import csv, json, parquet

from coe_ray.chat import in_one_piece
from coe_ray.errors import BadCall, DataError
from coe_ray.types import Call, Completion, Delta

_READERS = {".csv": csv.read_csv, ".jsonl": json.read_json, ".parquet": parquet.read_table}


class RecordedAnswers:
    """Says again what was recorded; a question that was not recorded is a failed call, never a wrong answer."""

    def __init__(self, name: str, answers: Mapping[str, str]) -> None:
        self.name = name
        self._answers = answers

    @classmethod
    def load(cls, name: str, path: Path) -> "RecordedAnswers":
        """From a CSV, JSONL or Parquet file with the columns `question` and `answer`. Raises `DataError`."""
        reader = _READERS.get(path.suffix)
        if reader is None:
            raise DataError(f"{path}: recorded answers are .csv, .jsonl or .parquet")
        try:
            table: pa.Table = reader(path)
            return cls(name, dict(zip(_texts(table, "question"), _texts(table, "answer"), strict=True)))
        except (OSError, KeyError, pa.ArrowInvalid) as error:
            raise DataError(f"{path}: cannot be read as recorded answers (question, answer): {error}") from error

    async def complete(self, call: Call) -> Completion:
        if call.question is None or call.question.id not in self._answers:
            asked = call.question.id if call.question else "no question"
            raise BadCall(self.name, f"no recorded answer for {asked}; record it or leave the question out")
        return Completion(self._answers[call.question.id])

    def stream(self, call: Call) -> AsyncIterator[Delta]:
        return in_one_piece(self, call)


def _texts(table: pa.Table, column: str) -> list[str]:
    return [str(value) for value in table.column(column).to_pylist()]
