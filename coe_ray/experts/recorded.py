"""Recorded answers as an expert: a table (question id, answer) stands in for a live model."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pyarrow as pa
from pyarrow import csv, json, parquet

from coe_ray.chat import in_one_piece
from coe_ray.errors import BadCall, DataError
from coe_ray.types import Call, Completion, Delta


def _read_csv(path: Path) -> pa.Table:
    # Ids of digits only are no numbers, and the answer "true" is no truth value.
    columns = {"question": pa.string(), "answer": pa.string()}
    return csv.read_csv(path, convert_options=csv.ConvertOptions(column_types=columns))


_READERS = {".csv": _read_csv, ".jsonl": json.read_json, ".parquet": parquet.read_table}


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
            pairs = zip(table.column("question").to_pylist(), table.column("answer").to_pylist(), strict=True)
            return cls(name, {str(question): str(answer) for question, answer in pairs if answer is not None})
        except (OSError, KeyError, pa.ArrowInvalid) as error:
            raise DataError(f"{path}: cannot be read as recorded answers (question, answer): {error}") from error

    async def complete(self, call: Call) -> Completion:
        if call.question is None or call.question.id not in self._answers:
            asked = call.question.id if call.question else "no question"
            raise BadCall(self.name, f"no recorded answer for {asked}; record it or leave the question out")
        return Completion(self._answers[call.question.id])

    def stream(self, call: Call) -> AsyncIterator[Delta]:
        return in_one_piece(self, call)
