"""A run folder's files: what the bench job writes and the report and the console read.

questions/     Parquet, the questions of the run, written once
rejected.parquet
index/         the retrieval index of the run
rows/          Parquet (id, record), one row a finished question; a row exists once it is checkpointed
checkpoint/    Ray Data's own
failures/      records of questions with a failed call; asked again by the next start
answers/       Parquet, one row a question and system, made of rows/ and failures/
run.json       what the run is; a folder never holds two
summary.json, report.html
"""

import glob
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from coe_ray.errors import DataError
from coe_ray.types import Question

QUESTIONS_PER_FILE = 64
"""One file is one block of Ray Data, and one block is what a crash can lose."""

QUESTION_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("options", pa.list_(pa.string())),
        ("answer", pa.string()),
        ("task", pa.string()),
        ("language", pa.string()),
    ]
)
RECORD_SCHEMA = pa.schema([("id", pa.string()), ("record", pa.string())])
ANSWER_SCHEMA = pa.schema(
    [
        ("question_id", pa.string()),
        ("system", pa.string()),
        ("task", pa.string()),
        ("label", pa.string()),
        ("expert", pa.string()),
        ("answer", pa.string()),
        ("letter", pa.string()),
        ("outcome", pa.string()),
        ("rule", pa.string()),
        ("text", pa.string()),
        ("error", pa.string()),
        ("message", pa.string()),
        ("attempts", pa.int64()),
        ("prompt_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
        ("seconds", pa.float64()),
    ]
)

Record = dict[str, Any]

_PENDING = ".pending.parquet"  # Ray Data's: renamed once the rows that it announces are written


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run below `root`."""

    root: Path

    @property
    def questions(self) -> Path:
        return self.root / "questions"

    @property
    def rows(self) -> Path:
        return self.root / "rows"

    @property
    def checkpoint(self) -> Path:
        return self.root / "checkpoint"

    @property
    def failures(self) -> Path:
        return self.root / "failures"

    @property
    def answers(self) -> Path:
        return self.root / "answers"

    def begin(self, identity: Mapping[str, Any], questions: Sequence[Question]) -> None:
        """Make the folder, or go on in it. Raises `DataError` where it holds another run."""
        card = self.root / "run.json"
        if card.exists():
            self._same(orjson.loads(card.read_bytes()), identity)
        else:
            self.root.mkdir(parents=True, exist_ok=True)
            write_questions(self.questions, questions)
            # Last: a folder without it is begun anew.
            write_whole(card, orjson.dumps(identity, option=orjson.OPT_INDENT_2))
        self._drop_unfinished()
        shutil.rmtree(self.failures, ignore_errors=True)
        for folder in (self.rows, self.failures):
            folder.mkdir(exist_ok=True)

    def _same(self, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        if differing := [key for key in wanted if found.get(key) != wanted[key]]:
            raise DataError(
                f"{self.root}: holds another run ({', '.join(differing)} differ); "
                "choose another --out, or repeat the command that began it"
            )

    def _drop_unfinished(self) -> None:
        """Remove what a crash left half written in `rows/`: files whose checkpoint is still called pending."""
        for pending in self.checkpoint.glob(f"*{_PENDING}"):
            for file in self.rows.glob(f"{glob.escape(pending.name.removesuffix(_PENDING))}*"):
                file.unlink()
            pending.unlink()

    def records(self) -> dict[str, Record]:
        """Every finished question's record by id, those with failed calls too."""
        return {**_records(self.failures), **_records(self.rows)}

    def finished(self) -> int:
        """Questions that need no further call."""
        return len(_records(self.rows))

    def write_answers(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Replace `answers/` by these rows."""
        aside = self.root / "answers.partial"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], ANSWER_SCHEMA), aside / "answers.parquet")
        shutil.rmtree(self.answers, ignore_errors=True)
        aside.rename(self.answers)

    def read_answers(self) -> list[dict[str, Any]]:
        """The rows of `answers/`. Raises `DataError` where the run has none yet."""
        if not self.answers.is_dir():
            raise DataError(f"{self.root}: no answers/ there; finish the bench first (jobs/bench.py)")
        rows: list[dict[str, Any]] = pq.read_table(self.answers, schema=ANSWER_SCHEMA).to_pylist()
        return rows

    def read_summary(self) -> dict[str, Any]:
        """`summary.json`. Raises `DataError` where the run has none yet."""
        path = self.root / "summary.json"
        if not path.is_file():
            raise DataError(f"{self.root}: no summary.json there; finish the bench first (jobs/bench.py)")
        summary: dict[str, Any] = orjson.loads(path.read_bytes())
        return summary


def write_questions(folder: Path, questions: Sequence[Question]) -> None:
    """The questions in files of `QUESTIONS_PER_FILE`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, start in enumerate(range(0, len(questions), QUESTIONS_PER_FILE)):
        part = [question_row(each) for each in questions[start : start + QUESTIONS_PER_FILE]]
        pq.write_table(pa.Table.from_pylist(part, QUESTION_SCHEMA), folder / f"{number:05}.parquet")


def read_questions(folder: Path) -> list[Question]:
    return [question_of(row) for row in pq.read_table(folder, schema=QUESTION_SCHEMA).to_pylist()]


def question_row(question: Question) -> dict[str, Any]:
    return {name: getattr(question, name) for name in QUESTION_SCHEMA.names}


def question_of(row: Mapping[str, Any]) -> Question:
    return Question(**{**row, "options": tuple(row["options"])})


def records_table(records: Iterable[Record]) -> pa.Table:
    """Records as `rows/` holds them."""
    rows = [{"id": record["id"], "record": orjson.dumps(record).decode()} for record in records]
    return pa.Table.from_pylist(rows, RECORD_SCHEMA)


def write_whole(path: Path, content: bytes) -> None:
    """Written aside and renamed: the file exists only whole."""
    aside = path.with_name(path.name + ".partial")
    aside.write_bytes(content)
    aside.replace(path)


def _records(folder: Path) -> dict[str, Record]:
    tables = (pq.read_table(file, schema=RECORD_SCHEMA) for file in sorted(folder.rglob("*.parquet")))
    return {
        id_: orjson.loads(record) for table in tables for id_, record in zip(*table.to_pydict().values(), strict=True)
    }
