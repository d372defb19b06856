"""Run folder: the files that a bench run writes and that report, console, paper and replay read.

questions/     Parquet, the questions of the run, written once
rejected.parquet
journal/       every call to a model with its answer or failure: the one checkpoint (journal/journal.py)
index/         the retrieval index of the run
vectors/       the encoded questions, so that a restart need not encode them again (bench/indexing.py)
records.parquet  (id, record as JSON), one row a question: all that was answered, written whole once all was asked
answers/       Parquet, one row a question and system, made from the records
dead_letters.parquet  one row a failed call
run.json       what the run is; a folder never holds two
progress.json  how far it is, written anew every second while it works (bench/progress.py)
lock           held while a run works in the folder
summary.json, report.html
"""

import itertools
import math
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from coe_ray.core.errors import DataError
from coe_ray.core.files import replace_atomic, write_atomic
from coe_ray.core.types import Question

QUESTIONS_PER_FILE = 512
"""At most. One file is one block of Ray Data."""

FILES_PER_RUN = 16
"""At least: a block for every node, and no long wait for the last one."""


def _columns(names: str, kind: pa.DataType = pa.string()) -> list[tuple[str, pa.DataType]]:
    return [(name, kind) for name in names.split()]


QUESTION_SCHEMA = pa.schema(
    [*_columns("id text"), ("options", pa.list_(pa.string())), *_columns("answer task language category")]
)
DEAD_LETTER_SCHEMA = pa.schema(
    [*_columns("question_id system model error message"), *_columns("status attempts", pa.int64()), *_columns("body")]
)
REJECTED_SCHEMA = pa.schema([*_columns("file"), *_columns("row", pa.int64()), *_columns("id reason")])
RECORD_SCHEMA = pa.schema(_columns("id record"))
ANSWER_SCHEMA = pa.schema(
    [
        *_columns("question_id system task label expert answer letter outcome rule text finish_reason error message"),
        *_columns("attempts prompt_tokens completion_tokens", pa.int64()),
        ("seconds", pa.float64()),
    ]
)

ROWS_AT_ONCE = 4096
"""Rows held in memory while a file is written or read."""

QuestionRecord = dict[str, Any]

RunState: TypeAlias = Literal["running", "finished", "stopped"]

Phase: TypeAlias = Literal["preparing", "asking", "scoring", "stopped"]

PROGRESS_LASTS_S = 15.0
SCORING_LASTS_S = 120.0
"""Age up to which `progress.json` counts as written by a living process. While scoring, it is not written anew."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a run at `at` (seconds since 1970).

    Questions: `total`, `done` and `failed` since this start, and the present `rate` a second. Calls: `in_flight` with
    their provider, `waiting` for a free slot, `backing_off` by the error class that they wait after. `failures` counts
    the calls that failed for good since this start, by error class.
    """

    total: int
    done: int = 0
    failed: int = 0
    rate: float = 0.0
    in_flight: int = 0
    waiting: int = 0
    backing_off: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    phase: Phase = "preparing"
    at: float = 0.0

    def is_live(self, now: float) -> bool:
        """Whether a process still works on the run."""
        lasts = SCORING_LASTS_S if self.phase == "scoring" else PROGRESS_LASTS_S
        return self.phase != "stopped" and now - self.at < lasts


class _Below:
    """Path of a file or folder of a run, by its name below the run's `root`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, folder: "RunFolder", _owner: type) -> Path:
        return folder.root / self._name


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run, below `root`."""

    root: Path

    card_file = _Below("run.json")
    questions = _Below("questions")
    rejected = _Below("rejected.parquet")
    journal = _Below("journal")
    index = _Below("index")
    vectors = _Below("vectors")
    records_file = _Below("records.parquet")
    answers = _Below("answers")
    dead_letters = _Below("dead_letters.parquet")
    progress = _Below("progress.json")
    summary = _Below("summary.json")
    lock = _Below("lock")

    def begin(
        self, identity: Mapping[str, Any], questions: Sequence[Question], extra: Mapping[str, Any] | None = None
    ) -> str:
        """Make the folder, or resume in it; returns the run's id. Raises `DataError` where it holds another run.

        `extra` is kept in `run.json` beside the identity, for a replay.
        """
        if not self.card_file.exists():
            self.root.mkdir(parents=True, exist_ok=True)
            write_questions(self.questions, questions)
            self.write_card({"run": uuid.uuid4().hex[:8], **identity, **(extra or {})})  # last: without it, begun anew
        card = self.card()
        if "run" not in card or "replay" in card:
            raise DataError(f"{self.root}: holds a replay, or a run of an older release; choose another --out")
        if differing := [key for key in identity if card.get(key) != identity[key]]:
            raise DataError(
                f"{self.root}: holds another run ({', '.join(differing)} differ); "
                "choose another --out, or repeat the command that began it"
            )
        for left in self.root.glob("*.partial"):  # by a process that was killed
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        return str(card["run"])

    def card(self) -> dict[str, Any]:
        """`run.json`. Raises `DataError` where no run was begun."""
        return _read_json(self.card_file, "give the folder of a bench run (`coe-ray bench`)")

    def write_card(self, card: Mapping[str, Any]) -> None:
        write_atomic(self.card_file, orjson.dumps(card, option=orjson.OPT_INDENT_2))

    def write_rejected(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace `rejected.parquet` by these rows, whose texts may hold bytes that are no UTF-8."""
        with replace_atomic(self.rejected) as partial:
            write_rows(partial, REJECTED_SCHEMA, map(_encodable, rows))

    def records(self) -> Iterator[QuestionRecord]:
        """Every question's record once. Raises `DataError` where the run has none yet, or they cannot be read."""
        try:
            with pq.ParquetFile(self.records_file) as file:
                for batch in file.iter_batches(ROWS_AT_ONCE, columns=["record"]):
                    yield from map(orjson.loads, batch.column("record").to_pylist())
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                f"{self.records_file}: cannot be read ({error}); repeat the bench command: the journal has the answers"
            ) from error

    def write_records(self, tables: Iterable[pa.Table]) -> None:
        """Replace `records.parquet` by these tables, which `records_table` makes."""
        with replace_atomic(self.records_file) as partial, pq.ParquetWriter(partial, RECORD_SCHEMA) as writer:
            for table in tables:
                writer.write_table(table)

    def write_answers(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace `answers/` by these rows."""
        with replace_atomic(self.answers) as partial:
            partial.mkdir()
            write_rows(partial / "answers.parquet", ANSWER_SCHEMA, rows)
            shutil.rmtree(self.answers, ignore_errors=True)  # a folder replaces none but an empty one

    def write_dead_letters(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace `dead_letters.parquet` by these rows."""
        with replace_atomic(self.dead_letters) as partial:
            write_rows(partial, DEAD_LETTER_SCHEMA, rows)

    def read_answers(self) -> list[dict[str, Any]]:
        """The rows of `answers/`. Raises `DataError` where the run has none yet."""
        if not self.answers.is_dir():
            raise DataError(f"{self.root}: no answers/ there; finish the bench first (`coe-ray bench`)")
        rows: list[dict[str, Any]] = pq.read_table(self.answers, schema=ANSWER_SCHEMA).to_pylist()
        return rows

    def read_summary(self) -> dict[str, Any]:
        """`summary.json`. Raises `DataError` where the run has none yet."""
        return _read_json(self.summary, "finish the bench first (`coe-ray bench`)")

    def write_progress(self, progress: Progress) -> None:
        """Replace `progress.json`, without fsync: after a power loss it is of no use."""
        aside = self.progress.with_name("progress.json.partial")
        aside.write_bytes(orjson.dumps(asdict(progress)))
        aside.replace(self.progress)

    def read_progress(self) -> Progress | None:
        """`None` where there is none, or none that this version can read."""
        try:
            content = orjson.loads(self.progress.read_bytes())
            return Progress(**{each.name: content[each.name] for each in fields(Progress) if each.name in content})
        except (OSError, ValueError, TypeError):
            return None

    def state(self, now: float | None = None) -> RunState:
        """`running` while a process works in it, `finished` once it has a summary, else `stopped`."""
        progress = self.read_progress()
        # Compared by file times, which come from one clock: a resumed run has its former summary for a while.
        if self.summary.is_file() and (progress is None or _written(self.summary) >= _written(self.progress)):
            return "finished"
        return "running" if progress and progress.is_live(time.time() if now is None else now) else "stopped"


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns if path.is_file() else 0


def write_questions(folder: Path, questions: Sequence[Question]) -> None:
    """The questions in `FILES_PER_RUN` files, or in more where they would hold over `QUESTIONS_PER_FILE`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    size = max(1, min(QUESTIONS_PER_FILE, math.ceil(len(questions) / FILES_PER_RUN)))
    for number, start in enumerate(range(0, len(questions), size)):
        part = [question_row(each) for each in questions[start : start + size]]
        pq.write_table(pa.Table.from_pylist(part, QUESTION_SCHEMA), folder / f"{number:05}.parquet")


def read_questions(folder: Path) -> list[Question]:
    """The questions of a run, from its `questions/` folder."""
    return [read_question_row(row) for row in pq.read_table(folder, schema=QUESTION_SCHEMA).to_pylist()]


def question_row(question: Question) -> dict[str, Any]:
    return {name: getattr(question, name) for name in QUESTION_SCHEMA.names}


def read_question_row(row: Mapping[str, Any]) -> Question:
    return Question(**{**row, "options": tuple(row["options"])})


def records_table(records: Iterable[QuestionRecord]) -> pa.Table:
    """Records as rows of `records.parquet`."""
    rows = [{"id": record["id"], "record": orjson.dumps(record).decode()} for record in records]
    return pa.Table.from_pylist(rows, RECORD_SCHEMA)


def write_rows(path: Path, schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> None:
    """Any number of rows in the memory of a few: written in batches of `ROWS_AT_ONCE`."""
    with pq.ParquetWriter(path, schema) as writer:
        left = iter(rows)
        while batch := [dict(row) for row in itertools.islice(left, ROWS_AT_ONCE)]:
            writer.write_table(pa.Table.from_pylist(batch, schema))


def _encodable(row: Mapping[str, Any]) -> dict[str, Any]:
    texts = {name: value for name, value in row.items() if isinstance(value, str)}
    return {**row, **{name: text.encode("utf-8", "backslashreplace").decode() for name, text in texts.items()}}


def _read_json(path: Path, remedy: str) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(f"{path.parent}: no {path.name} there; {remedy}")
    content: dict[str, Any] = orjson.loads(path.read_bytes())
    return content
