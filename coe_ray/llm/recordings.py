"""Recordings: a table of past results, each expert's on each question, for experts that are not called any more.

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
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
from pyarrow import csv, parquet

from coe_ray.core.errors import DataError

_TRUE, _FALSE = ("true", "1", "1.0", "yes"), ("false", "0", "0.0", "no")


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


def _rows(path: Path) -> list[dict[str, Any]]:
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}
    if path.suffix not in readers:
        raise DataError(f"{path}: recorded results are .csv, .jsonl or .parquet")
    try:
        return readers[path.suffix](path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as recorded results: {error}") from error


def _read_csv(path: Path) -> list[dict[str, Any]]:
    # Ids of digits only are no numbers, and the answer "true" is no truth value.
    columns = dict.fromkeys(("question", "expert", "answer", "correct", "task"), pa.string())
    options = csv.ConvertOptions(column_types=columns, strings_can_be_null=True, null_values=[""])
    table = csv.read_csv(path, parse_options=csv.ParseOptions(newlines_in_values=True), convert_options=options)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _read_jsonl(path: Path) -> list[dict[str, Any]]:
    # Not pyarrow's reader: to it an id such as "2024-01-02" is a time.
    rows = [orjson.loads(line) for line in path.read_bytes().removeprefix(BOM_UTF8).splitlines() if line.strip()]
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ValueError(f"row {number} is not an object")
    return rows


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows


def _recordings(path: Path, rows: Iterable[Mapping[str, Any]]) -> Iterator[Recording]:
    for number, row in enumerate(rows, 1):
        if row.get("question") is None:
            raise DataError(f"{path}: row {number} names no question")
        answer, correct = _text(row.get("answer")), _truth(path, number, row.get("correct"))
        if answer is None and correct is None:
            continue  # an empty row of a grid
        yield Recording(
            str(row["question"]),
            _text(row.get("expert")) or "",
            answer,
            correct,
            _text(row.get("task")),
            _cost(path, number, row.get("cost")),
        )


def _text(cell: object) -> str | None:
    return None if cell is None else str(cell)


def _truth(path: Path, number: int, cell: object) -> bool | None:
    if cell is None:
        return None
    word = str(cell).strip().lower()
    if word not in (*_TRUE, *_FALSE):
        raise DataError(f"{path}: row {number}: correct is {cell!r}; write true or false")
    return word in _TRUE


def _cost(path: Path, number: int, cell: object) -> float | None:
    if cell is None:
        return None
    try:
        return float(str(cell))
    except ValueError:
        raise DataError(f"{path}: row {number}: cost is {cell!r}; write a number") from None
