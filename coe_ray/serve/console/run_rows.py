"""The rows of a run: who answered what, filtered; and one question with all that was said to it."""

from collections.abc import Mapping
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pydantic import BaseModel, ConfigDict, Field

from coe_ray.core.run_folder import ANSWER_SCHEMA, QUESTION_SCHEMA, RECORD_SCHEMA, RunFolder, read_question_row
from coe_ray.core.types import Outcome, Question

SHOWN_CHARS = 240
"""Of a question or an answer in a list."""

_MISSING: Mapping[str, None] = dict.fromkeys(QUESTION_SCHEMA.names)


class RowFilter(BaseModel):
    """Which rows, and which page of them."""

    model_config = ConfigDict(extra="forbid")

    task: str | None = None
    expert: str | None = None
    system: str | None = None
    outcome: Outcome | None = None
    offset: int = Field(default=0, ge=0, le=10_000_000)
    limit: int = Field(default=50, ge=1, le=100)

    def filter(self) -> Any:
        """As pyarrow takes it; `None` for all rows."""
        given = self.model_dump(include={"task", "expert", "system", "outcome"}, exclude_none=True)
        wanted = None
        for column, value in given.items():
            same = ds.field(column) == value
            wanted = same if wanted is None else wanted & same
        return wanted


def page_of(folder: RunFolder, wanted: RowFilter) -> dict[str, Any]:
    """One page. Raises `OSError` or `ArrowException` where there are no answers, or they are just being replaced."""
    answers = ds.dataset(folder.answers, ANSWER_SCHEMA, format="parquet")
    where = wanted.filter()
    total = answers.count_rows(filter=where, use_threads=False)
    upto = answers.head(wanted.offset + wanted.limit, filter=where, use_threads=False)
    rows = upto.slice(wanted.offset).to_pylist()
    questions = _questions(folder, [row["question_id"] for row in rows])
    listed = [{**_shortened(row), "question": _start(_text_of(questions, row))} for row in rows]
    return {"object": "list", "total": total, "offset": wanted.offset, "data": listed}


def question_in(folder: RunFolder, question_id: str) -> Question | None:
    """The question of a run; `None` where it has none of that id."""
    return _questions(folder, [question_id]).get(question_id)


def answers_to(folder: RunFolder, question_id: str) -> list[dict[str, Any]]:
    """Its rows, whole. None while the run goes on."""
    if not folder.answers.is_dir():
        return []
    answers = ds.dataset(folder.answers, ANSWER_SCHEMA, format="parquet")
    rows: list[dict[str, Any]] = answers.to_table(
        filter=ds.field("question_id") == question_id, use_threads=False
    ).to_pylist()
    return rows


def classification_of(folder: RunFolder, question_id: str) -> dict[str, Any] | None:
    """What the classifier said of it; `None` while the run goes on."""
    if not folder.records_file.is_file():
        return None
    records = ds.dataset(folder.records_file, RECORD_SCHEMA, format="parquet")
    found = records.to_table(filter=ds.field("id") == question_id, use_threads=False)["record"].to_pylist()
    classification: dict[str, Any] | None = orjson.loads(found[0])["classification"] if found else None
    return classification


def _questions(folder: RunFolder, ids: list[str]) -> dict[str, Question]:
    wanted = pc.field("id").isin(pa.array(ids, pa.string()))
    table = ds.dataset(folder.questions, QUESTION_SCHEMA, format="parquet").to_table(filter=wanted, use_threads=False)
    return {row["id"]: read_question_row(_MISSING | row) for row in table.to_pylist()}


def _text_of(questions: Mapping[str, Question], row: Mapping[str, Any]) -> str:
    question = questions.get(row["question_id"])
    return question.text if question else ""


def _shortened(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "text": _start(row["text"]), "message": _start(row["message"])}


def _start(text: str | None) -> str | None:
    return text if text is None or len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS].rstrip() + " …"
