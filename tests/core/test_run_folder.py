"""A run folder: begun once, gone on with, never mixed with another run; its files whole or not there."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
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
    QuestionRecord,
    RunFolder,
    question_row,
    read_question_row,
    read_questions,
    records_table,
    write_questions,
    write_records,
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


def noted(folder: Path, *records: QuestionRecord) -> None:
    pq.write_table(records_table(records), folder / f"{len(list(folder.iterdir()))}.parquet")


def row(**values: Any) -> dict[str, Any]:
    return {**dict.fromkeys(ANSWER_SCHEMA.names), **values}


def ids(run: RunFolder) -> list[str]:
    return [record["id"] for record in run.records()]


def test_a_run_begins_with_its_questions_and_nothing_done(tmp_path: Path) -> None:
    run = begun(tmp_path)
    assert tuple(read_questions(run.questions)) == QUESTIONS
    assert (list(run.records()), run.finished()) == ([], 0)


def test_the_same_run_goes_on_and_asks_failed_questions_again(tmp_path: Path) -> None:
    run = begun(tmp_path)
    noted(run.rows, {"id": "1"})
    noted(run.failures, {"id": "2"})
    run.begin(IDENTITY, ())
    assert ids(run) == ["1"]
    assert tuple(read_questions(run.questions)) == QUESTIONS


def test_another_run_is_refused_and_what_differs_is_named(tmp_path: Path) -> None:
    run = begun(tmp_path)
    noted(run.failures, {"id": "2"})
    with pytest.raises(DataError, match=r"holds another run \(questions, split differ\); choose another --out"):
        run.begin({"profile": "small", "questions": "xyz", "split": "dev"}, QUESTIONS)
    assert ids(run) == ["2"]


def test_a_folder_whose_beginning_was_cut_short_is_begun_anew(tmp_path: Path) -> None:
    run = begun(tmp_path)
    (run.root / "run.json").unlink()
    (run.questions / "00000.parquet").write_bytes(b"half")
    run.begin({"profile": "other"}, QUESTIONS[:1])
    assert tuple(read_questions(run.questions)) == QUESTIONS[:1]


def test_rows_that_a_crash_left_half_written_are_dropped(tmp_path: Path) -> None:
    run = begun(tmp_path)
    run.checkpoint.mkdir()
    (run.checkpoint / "ab_0.pending.parquet").write_bytes(b"")
    (run.rows / "ab_0-0.parquet").write_bytes(b"PAR1 and then the machine went down")
    (run.checkpoint / "ab_1.parquet").write_bytes(b"")
    pq.write_table(records_table([{"id": "1"}]), run.rows / "ab_1-0.parquet")
    run.begin(IDENTITY, QUESTIONS)
    assert [file.name for file in run.rows.iterdir()] == ["ab_1-0.parquet"]
    assert [file.name for file in run.checkpoint.iterdir()] == ["ab_1.parquet"]
    assert run.finished() == 1


def test_records_are_merged_and_a_finished_row_outweighs_a_failure(tmp_path: Path) -> None:
    run = begun(tmp_path)
    noted(run.failures, {"id": "1", "from": "failure"}, {"id": "2", "from": "failure"})
    noted(run.rows, {"id": "1", "from": "row"})
    noted(run.rows, {"id": "3", "from": "row"})
    found = sorted((record["id"], record["from"]) for record in run.records())
    assert found == [("1", "row"), ("2", "failure"), ("3", "row")]
    assert run.finished() == 2


def test_answers_come_back_as_they_were_written(tmp_path: Path) -> None:
    run = begun(tmp_path)
    rows = [
        row(question_id="1", system="coe", outcome="correct", text="答案是 (A)", attempts=2, seconds=0.5),
        row(question_id="1", system="alpha", outcome="failed", error="ServerFault"),
    ]
    run.write_answers(rows[:1])
    run.write_answers(rows)
    assert run.read_answers() == rows
    assert not (run.root / "answers.partial").exists()


def test_answers_of_no_question_are_a_table_without_rows(tmp_path: Path) -> None:
    run = begun(tmp_path)
    run.write_answers([])
    assert run.read_answers() == []


def test_answers_and_summary_that_are_not_there_yet_are_said_with_the_remedy(tmp_path: Path) -> None:
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


def test_a_row_file_that_a_power_loss_tore_says_what_to_do(tmp_path: Path) -> None:
    run = begun(tmp_path)
    (run.rows / "torn.parquet").write_bytes(b"PAR1 and then nothing")
    for read in (run.finished, lambda: list(run.records())):
        with pytest.raises(
            DataError, match=r"torn.parquet: cannot be read .*; remove rows/ and checkpoint/ of the run"
        ):
            read()


def test_records_are_written_whole_and_none_make_no_file(tmp_path: Path) -> None:
    run = begun(tmp_path)
    write_records(run.failures, [])
    write_records(run.failures, [{"id": "1"}, {"id": "2"}])
    assert [file.suffix for file in run.failures.iterdir()] == [".parquet"]
    assert ids(run) == ["1", "2"]
