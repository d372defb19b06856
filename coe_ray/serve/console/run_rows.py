"""Rows of a run, filtered and in pages; and the answers and classification of one question."""

import functools
import operator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.dataset as ds
from pydantic import BaseModel, ConfigDict, Field

from coe_ray.core.run_folder import ANSWER_SCHEMA, QUESTION_SCHEMA, RECORD_SCHEMA, RunFolder, read_question_row
from coe_ray.core.types import Outcome, Question

SHOWN_CHARS = 240
"""Characters of a question or an answer in a list."""


class RowFilter(BaseModel):
    """Query of a list of rows: the filter and the page."""

    model_config = ConfigDict(extra="forbid")

    task: str | None = None
    expert: str | None = None
    system: str | None = None
    outcome: Outcome | None = None
    offset: int = Field(default=0, ge=0, le=10_000_000)
    limit: int = Field(default=50, ge=1, le=100)

    def filter(self) -> Any:
        """The filter as pyarrow takes it; `None` for all rows."""
        given = self.model_dump(include={"task", "expert", "system", "outcome"}, exclude_none=True)
        conditions = [ds.field(column) == value for column, value in given.items()]
        return functools.reduce(operator.and_, conditions) if conditions else None


def read_page(folder: RunFolder, query: RowFilter) -> dict[str, Any]:
    """One page. Raises `OSError` or `ArrowException` where there are no answers, or they are just being replaced."""
    answers = ds.dataset(folder.answers, ANSWER_SCHEMA, format="parquet")
    where = query.filter()
    total = answers.count_rows(filter=where, use_threads=False)
    rows = answers.head(query.offset + query.limit, filter=where, use_threads=False).slice(query.offset).to_pylist()
    questions = _read_questions(folder, [row["question_id"] for row in rows])
    for row in rows:
        question = questions.get(row["question_id"])
        texts = {"text": row["text"], "message": row["message"], "question": question.text if question else ""}
        row |= {name: _shorten(text) for name, text in texts.items()}
    return {"object": "list", "total": total, "offset": query.offset, "data": rows}


def read_question(folder: RunFolder, question_id: str) -> Question | None:
    """One question of a run; `None` where it has none of that id."""
    return _read_questions(folder, [question_id]).get(question_id)


def read_answers(folder: RunFolder, question_id: str) -> list[dict[str, Any]]:
    """The rows of one question in full; none while the run goes on."""
    if not folder.answers.is_dir():
        return []
    return _select(folder.answers, ANSWER_SCHEMA, ds.field("question_id") == question_id)


def read_classification(folder: RunFolder, question_id: str) -> dict[str, Any] | None:
    """The classification of one question; `None` while the run goes on."""
    if not folder.records_file.is_file():
        return None
    records = _select(folder.records_file, RECORD_SCHEMA, ds.field("id") == question_id)
    classification: dict[str, Any] | None = orjson.loads(records[0]["record"])["classification"] if records else None
    return classification


def _read_questions(folder: RunFolder, ids: list[str]) -> dict[str, Question]:
    rows = _select(folder.questions, QUESTION_SCHEMA, ds.field("id").isin(pa.array(ids, pa.string())))
    return {row["id"]: read_question_row(row) for row in rows}


def _select(source: Path, schema: pa.Schema, where: ds.Expression) -> list[dict[str, Any]]:
    table = ds.dataset(source, schema, format="parquet").to_table(filter=where, use_threads=False)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _shorten(text: str | None) -> str | None:
    return text if text is None or len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS].rstrip() + " …"
