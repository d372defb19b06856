"""Run folder: begun once, resumed, never mixed with another run; its files whole or not there."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coe_ray.core.errors import DataError
from coe_ray.core.files import write_atomic
from coe_ray.core.questions import make_question
from coe_ray.core.run_folder import (
    ANSWER_SCHEMA,
    DEAD_LETTER_SCHEMA,
    ROWS_AT_ONCE,
    Progress,
    RunFolder,
    question_row,
    read_question_row,
    read_questions,
    records_table,
    write_questions,
)
from coe_ray.core.types import Question

IDENTITY = {"profile": "small", "questions": "abc"}
QUESTIONS = (
    make_question("Which?", ("one", "two"), "A", "Build", category="english/VersionControl"),
    make_question("哪个?", ("一", "二"), "B", None),
    make_question("Why?"),
)


def begun(folder: Path) -> RunFolder:
    run = RunFolder(folder / "run")
    run.begin(IDENTITY, QUESTIONS)
    return run


def row(**values: Any) -> dict[str, Any]:
    return {**dict.fromkeys(ANSWER_SCHEMA.names), **values}


def ids(run: RunFolder) -> list[str]:
    return [record["id"] for record in run.records()]


def test_a_run_begins_with_its_questions_and_without_records(tmp_path: Path) -> None:
    run = begun(tmp_path)
    assert tuple(read_questions(run.questions)) == QUESTIONS
    with pytest.raises(DataError, match=r"records.parquet: cannot be read .*; repeat the bench command"):
        list(run.records())


def test_the_same_run_keeps_its_questions_and_records(tmp_path: Path) -> None:
    run = begun(tmp_path)
    run.write_records([records_table([{"id": "1"}])])
    run.begin(IDENTITY, ())
    assert ids(run) == ["1"]
    assert tuple(read_questions(run.questions)) == QUESTIONS


def test_another_run_is_refused_and_what_differs_is_named(tmp_path: Path) -> None:
    run = begun(tmp_path)
    run.write_records([records_table([{"id": "2"}])])
    with pytest.raises(DataError, match=r"holds another run \(questions, split differ\); choose another --out"):
        run.begin({"profile": "small", "questions": "xyz", "split": "dev"}, QUESTIONS)
    assert ids(run) == ["2"]


def test_a_folder_whose_beginning_was_cut_short_is_begun_anew(tmp_path: Path) -> None:
    run = begun(tmp_path)
    (run.root / "run.json").unlink()
    (run.questions / "00000.parquet").write_bytes(b"half")
    run.begin({"profile": "other"}, QUESTIONS[:1])
    assert tuple(read_questions(run.questions)) == QUESTIONS[:1]


def test_records_are_replaced_whole_and_a_crash_leaves_the_former_ones(tmp_path: Path) -> None:
    run = begun(tmp_path)
    run.write_records([records_table([{"id": "1", "answers": {}}]), records_table([{"id": "2"}])])
    assert list(run.records()) == [{"id": "1", "answers": {}}, {"id": "2"}]

    def interrupted() -> Iterator[pa.Table]:
        yield records_table([{"id": "3"}])
        raise RuntimeError

    with pytest.raises(RuntimeError):
        run.write_records(interrupted())
    assert ids(run) == ["1", "2"]
    run.write_records([records_table([{"id": str(number)} for number in range(2 * ROWS_AT_ONCE + 1)])])
    assert ids(run) == [str(number) for number in range(2 * ROWS_AT_ONCE + 1)]
    assert {file.name for file in run.root.iterdir()} == {"questions", "run.json", "records.parquet"}


def test_torn_records_are_reported_with_the_remedy(tmp_path: Path) -> None:
    run = begun(tmp_path)
    run.records_file.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(DataError, match=r"records.parquet: cannot be read .*: the journal has the answers"):
        list(run.records())


def test_a_run_of_an_older_release_is_resumed_and_its_answers_are_read(tmp_path: Path) -> None:
    run = begun(tmp_path)
    for folder in ("rows", "checkpoint", "failures"):
        (run.root / folder).mkdir()
    (run.root / "rows" / "ab_0-0.parquet").write_bytes(b"whatever")
    run.write_answers([row(question_id="1")])
    assert run.begin(IDENTITY, QUESTIONS) == run.card()["run"]
    assert run.read_answers() == [row(question_id="1")]


def test_answers_come_back_as_they_were_written(tmp_path: Path) -> None:
    run = begun(tmp_path)
    rows = [
        row(question_id="1", system="coe", outcome="correct", text="答案是 (A)", attempts=2, seconds=0.5),
        row(question_id="1", system="alpha", outcome="failed", error="ServerFault"),
    ]
    run.write_answers(rows[:1])
    run.write_answers(rows)
    assert run.read_answers() == rows
    assert list(run.root.glob("answers*")) == [run.answers]


def test_what_a_killed_process_left_half_written_is_removed_by_the_next_start(tmp_path: Path) -> None:
    run = begun(tmp_path)
    (run.root / "records.parquet.0123abcd.partial").write_bytes(b"half")
    (run.root / "answers.0123abcd.partial").mkdir()
    run.begin(IDENTITY, QUESTIONS)
    assert list(run.root.glob("*.partial")) == []


def test_answers_of_no_question_are_a_table_without_rows(tmp_path: Path) -> None:
    run = begun(tmp_path)
    run.write_answers([])
    assert run.read_answers() == []


def test_missing_answers_and_summary_are_reported_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no answers/ there; finish the bench first"):
        begun(tmp_path).read_answers()
    with pytest.raises(DataError, match=r"no summary.json there; finish the bench first"):
        begun(tmp_path).read_summary()


def test_the_summary_is_read(tmp_path: Path) -> None:
    run = begun(tmp_path)
    write_atomic(run.root / "summary.json", b'{"rows": 3}')
    assert run.read_summary() == {"rows": 3}


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(1, [1]), (16, [1] * 16), (20, [2] * 10), (8000, [500] * 16), (16 * 512 + 1, [512] * 16 + [1])],
)
def test_questions_are_split_into_files_and_keep_their_order(tmp_path: Path, count: int, sizes: list[int]) -> None:
    questions = [make_question(f"Question {n}?") for n in range(count)]
    write_questions(tmp_path / "q", questions)
    assert [pq.read_metadata(file).num_rows for file in sorted((tmp_path / "q").iterdir())] == sizes
    assert read_questions(tmp_path / "q") == questions


def test_a_run_keeps_its_id_and_says_what_it_is(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    first = run.begin(IDENTITY, QUESTIONS)
    assert run.begin(IDENTITY, QUESTIONS) == first
    assert run.card() == {"run": first, **IDENTITY}
    with pytest.raises(DataError, match=r"no run\.json there; give the folder of a bench run"):
        RunFolder(tmp_path).card()


def test_dead_letters_are_replaced_whole(tmp_path: Path) -> None:
    run = begun(tmp_path)
    letter = {**dict.fromkeys(DEAD_LETTER_SCHEMA.names), "question_id": "1", "error": "ServerFault", "status": 503}
    run.write_dead_letters([letter, letter])
    run.write_dead_letters([letter])
    assert pq.read_table(run.dead_letters).to_pylist() == [letter]


def test_rejected_rows_are_written_whatever_bytes_they_hold(tmp_path: Path) -> None:
    run = begun(tmp_path)
    run.write_rejected([])
    assert pq.read_table(run.rejected).column_names == ["file", "row", "id", "reason"]
    rejected = {"file": "test/Go.csv", "row": 2, "id": "7", "reason": "no answer"}
    run.write_rejected([rejected, {"file": "x\udcff.csv", "row": 0, "id": "\ud800", "reason": "unreadable"}])
    assert pq.read_table(run.rejected).to_pylist() == [
        rejected,
        {"file": "x\\udcff.csv", "row": 0, "id": "\\ud800", "reason": "unreadable"},
    ]


def test_more_rows_than_are_held_at_once(tmp_path: Path) -> None:
    run = begun(tmp_path)
    run.write_answers(row(question_id=str(number)) for number in range(2 * ROWS_AT_ONCE + 1))
    assert [each["question_id"] for each in run.read_answers()] == [str(n) for n in range(2 * ROWS_AT_ONCE + 1)]


@settings(max_examples=50)
@given(
    st.builds(
        make_question,
        st.text(),
        st.lists(st.text(), max_size=10),
        st.none() | st.sampled_from("AB"),
        st.none() | st.text(),
        st.none() | st.sampled_from(("english", "chinese")),
        st.none() | st.text(),
    )
)
def test_any_question_comes_back_out_of_its_row(question: Question) -> None:
    assert read_question_row({**question_row(question), "options": list(question.options)}) == question


def test_questions_of_a_release_without_categories_are_read_and_have_none(tmp_path: Path) -> None:
    write_questions(tmp_path / "q", QUESTIONS)
    for file in (tmp_path / "q").iterdir():
        pq.write_table(pq.read_table(file).drop_columns(["category"]), file)
    assert tuple(read_questions(tmp_path / "q")) == tuple(replace(each, category=None) for each in QUESTIONS)
    assert read_question_row({**question_row(QUESTIONS[2]), "options": []}) == QUESTIONS[2]


def test_files_with_and_without_categories_stand_side_by_side(tmp_path: Path) -> None:
    write_questions(tmp_path / "q", QUESTIONS)
    first = min((tmp_path / "q").iterdir())
    pq.write_table(pq.read_table(first).drop_columns(["category"]), first)
    assert read_questions(tmp_path / "q") == [replace(QUESTIONS[0], category=None), *QUESTIONS[1:]]


def test_a_replay_or_an_older_run_is_not_gone_on_with(tmp_path: Path) -> None:
    run = begun(tmp_path)
    for card in ({**run.card(), "replay": "elsewhere"}, dict(IDENTITY)):
        write_atomic(run.root / "run.json", orjson.dumps(card))
        with pytest.raises(DataError, match="holds a replay, or a run of an older release; choose another --out"):
            run.begin(IDENTITY, QUESTIONS)


@pytest.mark.parametrize(
    ("progress", "state"),
    [
        (Progress(9), "running"),
        (Progress(9, phase="asking"), "running"),
        (Progress(9, phase="scoring"), "running"),
        (Progress(9, phase="stopped"), "stopped"),
        (None, "stopped"),
    ],
)
def test_the_state_of_a_run(progress: Progress | None, state: str, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    if progress:
        folder.write_progress(Progress(progress.total, phase=progress.phase, at=time.time()))
    assert folder.state() == state
    later = time.time() + 60
    assert folder.state(later) == ("running" if progress and progress.phase == "scoring" else "stopped")
    assert folder.state(later + 120) == "stopped"
    folder.summary.write_text("{}")
    assert folder.state() == "finished"


def test_a_run_that_goes_on_after_its_end_is_stopped_with_its_former_summary(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.summary.write_text("{}")
    os.utime(folder.summary, (1, 1))
    folder.write_progress(Progress(9, phase="asking", at=time.time()))
    assert folder.state() == "running"
    assert folder.state(time.time() + 60) == "stopped"


def test_a_progress_of_another_release_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.read_progress() is None
    folder.progress.write_text('{"total": 9, "done": 3, "mood": "good"}')
    assert folder.read_progress() == Progress(9, 3)
    for nonsense in ("", "[]", "{}", "nonsense"):
        folder.progress.write_text(nonsense)
        assert folder.read_progress() is None
