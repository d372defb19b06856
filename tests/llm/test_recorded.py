"""Recorded answers: said again as they stand in the table; what is not in it is a failed call."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from coe_ray.core.chat_model import ChatModel
from coe_ray.core.errors import BadCall, DataError
from coe_ray.core.types import Call, Completion, Delta, Question, Usage
from coe_ray.llm.recorded import RecordedAnswers
from coe_ray.llm.recordings import Recording


def asked(id_: str) -> Call:
    return Call((), question=Question(id_, "Which?"))


def written(folder: Path, form: str) -> Path:
    path = folder / f"past{form}"
    if form == ".csv":
        path.write_text("model,question,answer\nglm,q1,the answer is (A)\nglm,q2,B\n")
    elif form == ".jsonl":
        path.write_text('{"question": "q1", "answer": "the answer is (A)"}\n{"question": "q2", "answer": "B"}\n')
    else:
        pq.write_table(pa.table({"question": ["q1", "q2"], "answer": ["the answer is (A)", "B"]}), path)
    return path


@pytest.mark.parametrize("form", [".csv", ".jsonl", ".parquet"])
async def test_what_was_recorded_is_said_again(tmp_path: Path, form: str) -> None:
    model = RecordedAnswers.load("past", written(tmp_path, form))
    assert isinstance(model, ChatModel)
    assert (await model.complete(asked("q1"))).text == "the answer is (A)"
    assert (await model.complete(asked("q2"))) == Completion("B")


async def test_a_stream_is_the_answer_in_one_piece(tmp_path: Path) -> None:
    model = RecordedAnswers("past", {"q1": Recording("q1", "", "A")})
    assert [delta async for delta in model.stream(asked("q1"))] == [Delta("A", "stop", Usage())]


async def test_a_question_that_was_not_recorded_is_a_failed_call() -> None:
    model = RecordedAnswers("past", {"q1": Recording("q1", "", "A")})
    with pytest.raises(BadCall, match="model 'past': no recorded answer for q9; record it"):
        await model.complete(asked("q9"))
    with pytest.raises(BadCall, match="no recorded answer for no question"):
        await model.complete(Call(()))


async def test_ids_and_answers_in_a_csv_file_are_text_whatever_they_look_like(tmp_path: Path) -> None:
    path = tmp_path / "past.csv"
    path.write_text("question,answer\n0000000000000012,true\n0000000000000013,1e3\n")
    model = RecordedAnswers.load("past", path)
    assert (await model.complete(asked("0000000000000012"))).text == "true"
    assert (await model.complete(asked("0000000000000013"))).text == "1e3"


async def test_an_answer_of_null_is_not_recorded(tmp_path: Path) -> None:
    path = tmp_path / "past.jsonl"
    path.write_text('{"question": "q1", "answer": null}\n{"question": "q2", "answer": "B"}\n')
    with pytest.raises(BadCall):
        await RecordedAnswers.load("past", path).complete(asked("q1"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("past.csv", ""),
        ("past.jsonl", "no json"),
        ("past.parquet", "no parquet"),
        ("none.csv", None),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: str | None) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=f"{name}: cannot be read as recorded results"):
        RecordedAnswers.load("past", tmp_path / name)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"recorded results are .csv, .jsonl or .parquet"):
        RecordedAnswers.load("past", tmp_path / "past.xlsx")


def table(folder: Path, text: str) -> Path:
    path = folder / "past.csv"
    path.write_text(text)
    return path


async def test_of_a_table_of_several_experts_one_is_meant(tmp_path: Path) -> None:
    path = table(tmp_path, "question,expert,answer\nq1,glm,A\nq1,qwen,B\n")
    assert (await RecordedAnswers.load("past", path, "qwen").complete(asked("q1"))).text == "B"
    with pytest.raises(DataError, match="has results of glm, qwen; name one with `expert`"):
        RecordedAnswers.load("past", path)
    with pytest.raises(DataError, match="has no results of 'llama', only of glm, qwen"):
        RecordedAnswers.load("past", path, "llama")


async def test_where_only_right_or_wrong_was_noted_the_answer_is_as_right_or_wrong(tmp_path: Path) -> None:
    model = RecordedAnswers.load("past", table(tmp_path, "question,correct\nq1,true\nq2,0\n"))
    known = {id_: Question(id_, "Which?", ("w", "x", "y"), answer="C") for id_ in ("q1", "q2")}
    assert (await model.complete(Call((), question=known["q1"]))).text == "the answer is (C)"
    assert (await model.complete(Call((), question=known["q2"]))).text == "the answer is (A)"
    with pytest.raises(BadCall, match="only right or wrong was recorded for q1"):
        await model.complete(asked("q1"))
