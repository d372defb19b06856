"""A run's folder: what it refuses, and what it makes of the remains of a crash."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from coe_ray.errors import DataError
from coe_ray.questions import make_question
from coe_ray.runs import RunFolder, read_questions, records_table

QUESTIONS = [make_question(f"question {number}?", ("yes", "no"), "A", "Test", "english") for number in range(130)]


def test_questions_come_back_as_they_were(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin({"data": "one"}, QUESTIONS)
    assert read_questions(folder.questions) == QUESTIONS
    assert len(list(folder.questions.iterdir())) == 3  # of at most 64: what a crash can lose


def test_a_folder_never_holds_two_runs(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.begin({"data": "one", "split": "test"}, QUESTIONS)
    folder.begin({"data": "one", "split": "test"}, QUESTIONS)
    with pytest.raises(DataError, match=r"holds another run \(data differ\)"):
        folder.begin({"data": "two", "split": "test"}, QUESTIONS)


def test_rows_that_a_crash_left_half_written_are_dropped(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.begin({}, QUESTIONS)
    folder.checkpoint.mkdir()
    table = b"PAR1 and then the machine went down"
    (folder.checkpoint / "ab_0.pending.parquet").write_bytes(b"")
    (folder.rows / "ab_0-0.parquet").write_bytes(table)
    (folder.checkpoint / "ab_1.parquet").write_bytes(b"")
    write(folder.rows / "ab_1-0.parquet", "one")
    folder.begin({}, QUESTIONS)
    assert [file.name for file in folder.rows.iterdir()] == ["ab_1-0.parquet"]
    assert [file.name for file in folder.checkpoint.iterdir()] == ["ab_1.parquet"]
    assert folder.finished() == 1


def test_failures_are_for_one_session_and_finished_rows_outweigh_them(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.begin({}, QUESTIONS)
    write(folder.failures / "x.parquet", "one", "two")
    write(folder.rows / "y.parquet", "one", answer="finished")
    assert folder.finished() == 1
    assert folder.records()["one"]["answer"] == "finished"
    assert set(folder.records()) == {"one", "two"}
    folder.begin({}, QUESTIONS)
    assert set(folder.records()) == {"one"}


def test_what_is_not_there_yet_is_said(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(DataError, match="no answers/ there"):
        folder.read_answers()
    with pytest.raises(DataError, match=r"no summary\.json there"):
        folder.read_summary()


def write(path: Path, *ids: str, answer: str = "failed") -> None:
    pq.write_table(records_table({"id": id_, "answer": answer} for id_ in ids), path)
