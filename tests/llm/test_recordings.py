"""Tables of past results: every form read alike, bad cells named by their row, answers said again."""

import csv
import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coe_ray.core.chat_model import ChatModel
from coe_ray.core.errors import BadCall, DataError
from coe_ray.core.types import Call, Completion, Delta, Question, Usage
from coe_ray.llm.recordings import RecordedAnswers, Recording, count_scores, read_recordings
from coe_ray.routing.leaderboard import Leaderboard

FORMS = (".csv", ".jsonl", ".parquet")
COLUMNS = ("question", "expert", "answer", "correct", "task", "cost")

Cells = dict[str, Any]


def written(folder: Path, form: str, rows: Sequence[Cells]) -> Path:
    """The rows as a table; what is `None` is an empty cell."""
    path = folder / f"past{form}"
    if form == ".csv":
        columns = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(columns)
        for row in rows:
            writer.writerow(["" if row.get(name) is None else row[name] for name in columns])
        path.write_bytes(text.getvalue().encode())
    elif form == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path)
    return path


def table(folder: Path, text: str, name: str = "past.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as error:
        read_recordings(path)
    assert str(error.value).startswith(f"{path}: ")
    return str(error.value).removeprefix(f"{path}: ")


ROWS: list[Cells] = [
    {"question": "q1", "expert": "glm", "answer": "A", "correct": True, "task": "Build", "cost": 0.5},
    {"question": "q1", "expert": "qwen", "answer": "the answer is (B)", "correct": False, "task": "Build", "cost": 2.0},
    {"question": "q2", "expert": "glm", "answer": None, "correct": True, "task": None, "cost": None},
    {"question": "q2", "expert": "qwen", "answer": "C", "correct": None, "task": "构建", "cost": 0.0},
]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_says_the_same(tmp_path: Path, form: str) -> None:
    assert read_recordings(written(tmp_path, form, ROWS)) == tuple(Recording(**row) for row in ROWS)


@pytest.mark.parametrize("form", FORMS)
def test_only_question_and_answer_or_correct_must_be_there(tmp_path: Path, form: str) -> None:
    assert read_recordings(written(tmp_path, form, [{"question": "q1", "answer": "A"}])) == (Recording("q1", "", "A"),)
    assert read_recordings(written(tmp_path, form, [{"question": "q1", "correct": False}])) == (
        Recording("q1", "", None, False),
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("missing", [{"question": "q1", "expert": "glm"}, {"answer": "A"}, {"Question": "q1"}])
def test_columns_that_are_missing_are_named(tmp_path: Path, form: str, missing: Cells) -> None:
    message = refusal(written(tmp_path, form, [missing]))
    assert message == "recorded results need the columns question and answer or correct"


@pytest.mark.parametrize("form", FORMS)
def test_columns_beside_them_are_passed_over(tmp_path: Path, form: str) -> None:
    rows = [{**row, "seconds": number, "note": "n/a"} for number, row in enumerate(ROWS)]
    assert read_recordings(written(tmp_path, form, rows)) == tuple(Recording(**row) for row in ROWS)


@pytest.mark.parametrize("form", FORMS)
def test_what_was_never_asked_is_left_out(tmp_path: Path, form: str) -> None:
    rows: list[Cells] = [*ROWS, {"question": "q3", "expert": "glm", "answer": None, "correct": None, "cost": 1.0}]
    assert len(read_recordings(written(tmp_path, form, rows))) == len(ROWS)


@pytest.mark.parametrize(
    ("word", "truth"),
    [
        *((word, True) for word in ("true", "True", " TRUE ", "1", "1.0", "yes")),
        *((word, False) for word in ("false", "False", "0", "0.0", "No")),
    ],
)
def test_right_and_wrong_in_any_spelling(tmp_path: Path, word: str, *, truth: bool) -> None:
    (recording,) = read_recordings(table(tmp_path, f"question,correct\nq1,{word}\n"))
    assert recording.correct is truth


@pytest.mark.parametrize(("cell", "truth"), [(True, True), (1, True), (1.0, True), (False, False), (0, False)])
def test_right_and_wrong_of_any_type(tmp_path: Path, cell: object, *, truth: bool) -> None:
    for form in (".jsonl", ".parquet"):
        (recording,) = read_recordings(written(tmp_path, form, [{"question": "q1", "correct": cell}]))
        assert recording.correct is truth


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("q3,glm,A,maybe,,", "row 3: correct is 'maybe'; write true or false"),
        ("q3,glm,A,2,,", "row 3: correct is '2'; write true or false"),
        ("q3,glm,A,1,,free", "row 3: cost is 'free'; write a number"),
        ('q3,glm,A,1,,"1,5"', "row 3: cost is '1,5'; write a number"),
        (",glm,A,1,,", "row 3 names no question"),
    ],
)
def test_a_bad_cell_is_named_by_its_row(tmp_path: Path, row: str, message: str) -> None:
    text = "question,expert,answer,correct,task,cost\nq1,glm,A,1,,0.5\nq2,glm,B,,,\n" + row + "\nq4,glm,A,,,\n"
    assert refusal(table(tmp_path, text)) == message


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"question": null, "answer": "A"}', "row 2 names no question"),
        ('{"answer": "A"}', "row 2 names no question"),
        ('{"question": "q2", "correct": "perhaps"}', "row 2: correct is 'perhaps'; write true or false"),
        ('{"question": "q2", "correct": []}', "row 2: correct is []; write true or false"),
        ('{"question": "q2", "answer": "A", "cost": {"usd": 1}}', "row 2: cost is {'usd': 1}; write a number"),
        ('{"question": "q2", "answer": "A", "cost": true}', "row 2: cost is True; write a number"),
        ("5", "cannot be read as recorded results: row 2 is not an object"),
        ('["q2", "A"]', "cannot be read as recorded results: row 2 is not an object"),
    ],
)
def test_a_bad_line_is_named_by_its_row(tmp_path: Path, row: str, message: str) -> None:
    text = '{"question": "q1", "answer": "A"}\n' + row + "\n"
    assert refusal(table(tmp_path, text, "past.jsonl")) == message


@pytest.mark.parametrize("form", FORMS)
def test_one_question_and_expert_twice_is_refused(tmp_path: Path, form: str) -> None:
    message = refusal(written(tmp_path, form, [*ROWS, {**ROWS[0], "answer": "B"}]))
    assert message == "question 'q1' of expert 'glm' stands there twice; keep one of them"


def test_without_an_expert_one_question_twice_is_refused(tmp_path: Path) -> None:
    assert "question 'q1' of expert '' stands there twice" in refusal(table(tmp_path, "question,answer\nq1,A\nq1,B\n"))


def test_a_second_row_that_says_nothing_is_none(tmp_path: Path) -> None:
    assert len(read_recordings(table(tmp_path, "question,answer\nq1,A\nq1,\n"))) == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("past.csv", b""),
        ("past.csv", b"question,answer\nq1\n"),
        ("past.csv", b"question,answer\nq1,\xff\xfe\n"),
        ("past.csv", b"question,\xff,answer\nq1,,A\n"),
        ("past.jsonl", b"{"),
        ("past.jsonl", b'{"question": "\xff"}'),
        ("past.jsonl", b'{"question": "q1", "answer": NaN}'),
        ("past.parquet", b""),
        ("past.parquet", b"PAR1 and then the machine went down"),
    ],
)
def test_what_is_no_such_table_is_said(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert refusal(tmp_path / name).startswith("cannot be read as recorded results: ")


@pytest.mark.parametrize(("name", "content"), [("past.csv", "question,answer\n"), ("past.jsonl", "\n\n")])
def test_a_table_without_a_row_is_refused(tmp_path: Path, name: str, content: str) -> None:
    assert refusal(table(tmp_path, content, name)) == "holds no recorded results"


def test_a_folder_and_other_forms_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    assert refusal(tmp_path / "folder.csv").startswith("cannot be read as recorded results: ")
    assert refusal(tmp_path / "past.tsv") == "recorded results are .csv, .jsonl or .parquet"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "text",
    [
        *("true", "1e3", "007", "2024-01-02", "2024-01-02 03:04:05", "NA", "null", "None", "nan", "#N/A", "-"),
        *("答案是 (B)", "first, second\nthird", 'he said "A"', "line\r\nline", "a\u2028b", "😀", " A "),
    ],
)
def test_ids_and_answers_are_text_whatever_they_look_like(tmp_path: Path, form: str, text: str) -> None:
    rows: list[Cells] = [{"question": text, "expert": text, "answer": text, "task": text}]
    assert read_recordings(written(tmp_path, form, rows)) == (Recording(text, text, text, None, text),)


def test_numbers_as_ids_are_their_digits(tmp_path: Path) -> None:
    for form in (".jsonl", ".parquet"):
        rows: list[Cells] = [{"question": number, "answer": "A"} for number in (7, 8)]
        assert [each.question for each in read_recordings(written(tmp_path, form, rows))] == ["7", "8"]


def test_a_mark_of_byte_order_and_lines_of_a_mac_or_windows_are_no_content(tmp_path: Path) -> None:
    expected = (Recording("q1", "", "A"), Recording("q2", "", "B"))
    for newline in ("\n", "\r\n", "\r"):
        lines = ["\ufeffquestion,answer", "q1,A", "q2,B", ""]
        assert read_recordings(table(tmp_path, newline.join(lines))) == expected
        lines = ['\ufeff{"question": "q1", "answer": "A"}', "", '{"question": "q2", "answer": "B"}']
        assert read_recordings(table(tmp_path, newline.join(lines), "past.jsonl")) == expected


def test_a_table_larger_than_a_block_is_read_whole_whatever_comes_late(tmp_path: Path) -> None:
    rows: list[Cells] = [
        {"question": f"q{number}", "answer": "x" * 500, "cost": 0, "note": 0} for number in range(4000)
    ]
    rows.append({"question": "late", "answer": "y" * 2**18, "cost": 0.5, "note": "n/a"})
    for form in (".csv", ".jsonl"):
        recordings = read_recordings(written(tmp_path, form, rows))
        assert len(recordings) == 4001
        assert (recordings[0].cost, recordings[-1].cost, len(recordings[-1].answer or "")) == (0, 0.5, 2**18)


def test_scores_count_by_expert_and_task_and_make_a_leaderboard() -> None:
    recordings = [
        Recording("q1", "glm", None, True, "Build"),
        Recording("q2", "glm", None, False, "Build"),
        Recording("q3", "glm", "A", True, "测试"),
        Recording("q1", "qwen", None, False, "Build"),
    ]
    counted = count_scores(recordings)
    assert sorted(counted) == [("glm", "Build", 1, 2), ("glm", "测试", 1, 1), ("qwen", "Build", 0, 1)]
    board = Leaderboard.from_scores(counted)
    best = board.best("Build")
    assert best is not None
    assert (best.expert, best.accuracy) == ("glm", 0.5)


@pytest.mark.parametrize("form", FORMS)
def test_a_table_is_all_that_a_leaderboard_takes(tmp_path: Path, form: str) -> None:
    path = written(tmp_path, form, ROWS[:2])
    assert Leaderboard.from_scores(count_scores(read_recordings(path))).experts == ("glm", "qwen")


@pytest.mark.parametrize(
    ("recording", "missing"),
    [
        (Recording("q1", "glm", "A", True, None), "task"),
        (Recording("q1", "glm", "A", None, "Build"), "correct"),
        (Recording("q1", "glm", "A", None, None), "task"),
    ],
)
def test_what_a_score_needs_and_lacks_is_named(recording: Recording, missing: str) -> None:
    with pytest.raises(DataError, match=f"recorded result of 'glm' on 'q1' has no {missing}; fill it in"):
        count_scores([recording])


def test_no_recordings_have_no_scores() -> None:
    assert count_scores([]) == []


# A cell that is empty is none, in a CSV file; and half a surrogate pair is no text.
TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=8)
RECORDINGS = st.lists(
    st.builds(
        Recording,
        TEXT,
        st.just("") | TEXT,
        TEXT,
        st.none() | st.booleans(),
        st.none() | TEXT,
        st.none() | st.floats(0, 1e6),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda each: (each.question, each.expert),
)


@settings(max_examples=150)
@given(RECORDINGS, st.sampled_from(FORMS))
def test_any_results_come_back_as_they_were_written(recordings: list[Recording], form: str) -> None:
    rows = [{name: getattr(each, name) for name in COLUMNS} for each in recordings]
    with tempfile.TemporaryDirectory() as folder:
        assert read_recordings(written(Path(folder), form, rows)) == tuple(recordings)


@settings(max_examples=150)
@given(st.binary(max_size=60) | st.text(alphabet='question,answer\n"{}:', max_size=60).map(str.encode))
def test_any_bytes_are_results_or_a_data_error(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for form in FORMS:
            path = Path(folder, f"any{form}")
            path.write_bytes(b"question,answer\n" * (form == ".csv") + content)
            try:
                read_recordings(path)
            except DataError as error:
                assert str(path) in str(error)


def asked(id_: str) -> Call:
    return Call((), question=Question(id_, "Which?"))


def past_answers(folder: Path, form: str) -> Path:
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
    model = RecordedAnswers.load("past", past_answers(tmp_path, form))
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
