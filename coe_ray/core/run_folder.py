"""A run folder's files: what the bench job writes and the report and the console read.

questions/     Parquet, the questions of the run, written once
rejected.parquet
journal/       every call to a model, its answer or its failure (calls/journal.py)
index/         the retrieval index of the run
rows/          Parquet (id, record), one row a finished question; a row exists once it is checkpointed
checkpoint/    Ray Data's own
failures/      records of questions with a failed call
answers/       Parquet, one row a question and system, made of rows/ and failures/
dead_letters.parquet  one row a failed call
run.json       what the run is; a folder never holds two
progress.json  how far it is, written anew every second while it works (bench/notes.py)
lock           held while a run works in the folder
summary.json, report.html
"""

import glob
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
from coe_ray.core.files import write_atomic
from coe_ray.core.types import Question

QUESTIONS_PER_FILE = 512
"""At most. One file is one block of Ray Data; what a crash takes of it is in the journal."""

FILES_PER_RUN = 16
"""At least, so that there is a block for every node and no long wait for the last one."""

QUESTION_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("options", pa.list_(pa.string())),
        ("answer", pa.string()),
        ("task", pa.string()),
        ("language", pa.string()),
        ("category", pa.string()),
    ]
)
DEAD_LETTER_SCHEMA = pa.schema(
    [
        ("question_id", pa.string()),
        ("system", pa.string()),
        ("model", pa.string()),
        ("error", pa.string()),
        ("message", pa.string()),
        ("status", pa.int64()),
        ("attempts", pa.int64()),
        ("body", pa.string()),
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

ROWS_AT_ONCE = 4096
"""Rows of answers/ held in memory while they are written."""

QuestionRecord = dict[str, Any]

RunState: TypeAlias = Literal["running", "finished", "stopped"]

Phase: TypeAlias = Literal["preparing", "asking", "scoring", "stopped"]

PROGRESS_LASTS_S = 15.0
SCORING_LASTS_S = 120.0
"""How long `progress.json` is believed: a process that has not written it anew for so long is gone. While it scores
what was answered, it writes nothing until the summary."""

_PENDING = ".pending.parquet"  # Ray Data's: renamed once the rows that it announces are written


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run was at `at` (seconds since 1970). Questions: all, answered, failed since this start, and how many
    a second came to their end lately.

    Calls: with their provider, waiting for their turn, and backing off, by the class of the error that they wait after.
    `failures` are the calls that failed for good since this start, by class.
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
        """Whether somebody is still at work."""
        lasts = SCORING_LASTS_S if self.phase == "scoring" else PROGRESS_LASTS_S
        return self.phase != "stopped" and now - self.at < lasts


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
    def rejected(self) -> Path:
        return self.root / "rejected.parquet"

    @property
    def journal(self) -> Path:
        return self.root / "journal"

    @property
    def index(self) -> Path:
        return self.root / "index"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def dead_letters(self) -> Path:
        return self.root / "dead_letters.parquet"

    @property
    def answers(self) -> Path:
        return self.root / "answers"

    @property
    def progress(self) -> Path:
        return self.root / "progress.json"

    @property
    def summary(self) -> Path:
        return self.root / "summary.json"

    def begin(
        self, identity: Mapping[str, Any], questions: Sequence[Question], notes: Mapping[str, Any] | None = None
    ) -> str:
        """Make the folder, or go on in it; returns the run's id. Raises `DataError` where it holds another run.

        `notes` are kept beside the identity, for a replay.
        """
        card = self.root / "run.json"
        if not card.exists():
            self.root.mkdir(parents=True, exist_ok=True)
            write_questions(self.questions, questions)
            # Last: a folder without it is begun anew.
            content = {"run": uuid.uuid4().hex[:8], **identity, **(notes or {})}
            write_atomic(card, orjson.dumps(content, option=orjson.OPT_INDENT_2))
        found = self.card()
        if "run" not in found or "replay" in found:
            raise DataError(f"{self.root}: holds a replay, or a run of an older release; choose another --out")
        self._same(found, identity)
        self._drop_unfinished()
        shutil.rmtree(self.failures, ignore_errors=True)
        for folder in (self.rows, self.failures):
            folder.mkdir(exist_ok=True)
        return str(found["run"])

    def card(self) -> dict[str, Any]:
        """`run.json`. Raises `DataError` where no run was begun."""
        path = self.root / "run.json"
        if not path.is_file():
            raise DataError(f"{self.root}: no run.json there; give the folder of a bench run (`coe-ray bench`)")
        card: dict[str, Any] = orjson.loads(path.read_bytes())
        return card

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

    def records(self) -> Iterator[QuestionRecord]:
        """Every question's record once, finished or with a failed call, a file at a time."""
        seen: set[str] = set()
        for folder in (self.rows, self.failures):
            for record in _records(folder):
                if record["id"] not in seen:
                    seen.add(record["id"])
                    yield record

    def finished(self) -> int:
        """Questions that need no further call."""
        return len({id_ for file in _parquet(self.rows) for id_ in _read(file, "id")})

    def write_answers(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace `answers/` by these rows."""
        aside = self.root / "answers.partial"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        write_rows(aside / "answers.parquet", ANSWER_SCHEMA, rows)
        shutil.rmtree(self.answers, ignore_errors=True)
        aside.rename(self.answers)

    def write_dead_letters(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace `dead_letters.parquet` by these rows."""
        aside = self.root / "dead_letters.partial"
        write_rows(aside, DEAD_LETTER_SCHEMA, rows)
        aside.replace(self.dead_letters)

    def read_answers(self) -> list[dict[str, Any]]:
        """The rows of `answers/`. Raises `DataError` where the run has none yet."""
        if not self.answers.is_dir():
            raise DataError(f"{self.root}: no answers/ there; finish the bench first (`coe-ray bench`)")
        rows: list[dict[str, Any]] = pq.read_table(self.answers, schema=ANSWER_SCHEMA).to_pylist()
        return rows

    def read_summary(self) -> dict[str, Any]:
        """`summary.json`. Raises `DataError` where the run has none yet."""
        if not self.summary.is_file():
            raise DataError(f"{self.root}: no summary.json there; finish the bench first (`coe-ray bench`)")
        summary: dict[str, Any] = orjson.loads(self.summary.read_bytes())
        return summary

    def write_progress(self, progress: Progress) -> None:
        """Replace `progress.json`. Not synced to the disk: after a power loss it says nothing of use."""
        aside = self.progress.with_name("progress.json.partial")
        aside.write_bytes(orjson.dumps(asdict(progress)))
        aside.replace(self.progress)

    def read_progress(self) -> Progress | None:
        """`None` where nobody wrote one, or one that this version cannot read."""
        try:
            told = orjson.loads(self.progress.read_bytes())
            return Progress(**{each.name: told[each.name] for each in fields(Progress) if each.name in told})
        except (OSError, ValueError, TypeError):
            return None

    def state(self, now: float | None = None) -> RunState:
        """Whether a process works in it, has brought it to its end, or left it before."""
        progress = self.read_progress()
        # By the files' times, of one clock: a run that goes on after its end has the former summary for a while.
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
    return [read_question_row(row) for row in pq.read_table(folder, schema=QUESTION_SCHEMA).to_pylist()]


def question_row(question: Question) -> dict[str, Any]:
    return {name: getattr(question, name) for name in QUESTION_SCHEMA.names}


def read_question_row(row: Mapping[str, Any]) -> Question:
    return Question(**{**row, "options": tuple(row["options"])})


def records_table(records: Iterable[QuestionRecord]) -> pa.Table:
    """Records as `rows/` holds them."""
    rows = [{"id": record["id"], "record": orjson.dumps(record).decode()} for record in records]
    return pa.Table.from_pylist(rows, RECORD_SCHEMA)


def write_rows(path: Path, schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> None:
    """Any number of rows in the memory of a few: written in batches of `ROWS_AT_ONCE`."""
    with pq.ParquetWriter(path, schema) as writer:
        left = iter(rows)
        while batch := [dict(row) for row in itertools.islice(left, ROWS_AT_ONCE)]:
            writer.write_table(pa.Table.from_pylist(batch, schema))


def write_records(folder: Path, records: Sequence[QuestionRecord]) -> None:
    """One more file of records, which exists only whole; none where there are none."""
    if records:
        name = uuid.uuid4().hex
        pq.write_table(records_table(records), folder / f"{name}.partial")
        (folder / f"{name}.partial").rename(folder / f"{name}.parquet")


def _records(folder: Path) -> Iterator[QuestionRecord]:
    for file in _parquet(folder):
        for record in _read(file, "record"):
            yield orjson.loads(record)


def _read(file: Path, column: str) -> list[str]:
    try:
        cells: list[str] = pq.read_table(file, columns=[column]).column(column).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{file}: cannot be read ({error}); remove rows/ and checkpoint/ of the run and repeat its command: "
            "the journal has the answers"
        ) from error
    return cells


def _parquet(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.parquet"))
