"""Rows of all formats: what makes one usable, an example or useless; names, categories and encodings."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.bench.datasets.load import load_benchmark
from coe_ray.bench.datasets.rows import (
    TASK_NAMES,
    RejectedRow,
    Row,
    category_of,
    decode_file,
    judge_row,
    normalize_name,
)
from coe_ray.core.types import LETTERS
from coe_ray.profile.tasks import DEVOPS_EVAL_A, DEVOPS_EVAL_B, OPSEVAL
from tests.bench.datasets.benchmark_files import row, write_csv


@pytest.mark.parametrize(
    ("file", "category"),
    [
        ("english/test/LogParser.csv", "english/LogParser"),
        ("english/dev/LogParser.csv", "english/LogParser"),
        ("data/test/RootCauseAnalysis.csv", "RootCauseAnalysis"),
        ("data/chinese/test/TEST/UnitTesting.csv", "chinese/UnitTesting"),
        ("en/test/OPERATE/AIOps/LogParser.csv", "en/OPERATE/AIOps/LogParser"),
        ("Test/CI:CD.csv", "CI:CD"),
        ("test/Wired Network.json", "Wired Network"),
        ("english/test/Test.csv", "english/Test"),
        ("test/test.csv", "test"),
        ("test/Node.js.csv", "Node.js"),
        ("LogParser.csv", "LogParser"),
    ],
)
def test_a_files_category_is_its_name_and_folders_without_those_of_the_split(file: str, category: str) -> None:
    assert category_of(file) == category


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030"])
def test_every_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    write_csv(tmp_path / "chinese/test/Go.csv", row("如何声明变量？"), encoding=encoding)
    assert load_benchmark(tmp_path).questions[0].text == "如何声明变量？"


def test_broken_utf8_costs_only_its_row(tmp_path: Path) -> None:
    path = tmp_path / "chinese/test/Go.csv"
    write_csv(path, row("如何声明变量？"), row("如何关闭通道？"), row("如何声明变量和常量？"))
    path.write_bytes(path.read_bytes().replace("关".encode(), "关".encode()[:2]))
    benchmark = load_benchmark(tmp_path)
    assert [question.text for question in benchmark.questions] == ["如何声明变量？", "如何声明变量和常量？"]
    assert benchmark.rejected == (
        RejectedRow("chinese/test/Go.csv", 2, "7", "unreadable row: it holds bytes that are no character"),
    )


def raw(**changes: Any) -> Row:
    fields = {"file": "test/Go.csv", "number": 3, "id": "7", "text": "Which?", "options": ("p", "q"), "answer": "A"}
    return Row(**{**fields, "task": "Code", "language": "english", **changes})


def test_a_usable_row_is_a_question_without_a_reason() -> None:
    question, reason = judge_row(raw(answer="b."))
    assert reason is None
    assert question is not None
    assert (question.options, question.answer, question.task) == (("p", "q"), "B", "Code")
    assert question.category == "Go"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "no answer"),
        (" \n", "no answer"),
        ("A,B", "several answers: A, B"),
        ("ABD", "several answers: A, B, D"),
        ("BAD", "not multiple choice: the answer is 'BAD'"),
        ("run it\nagain " * 9, "not multiple choice: the answer is 'run it again run it again run it again r'"),
    ],
)
def test_a_row_without_a_single_answer_is_still_an_example(answer: str, reason: str) -> None:
    question, found = judge_row(raw(answer=answer))
    assert found == reason
    assert question is not None
    assert question.answer is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"text": ""}, "empty question"),
        ({"text": "\ud800"}, "unreadable row: it holds bytes that are no character"),
        ({"options": ("p", "\udfff")}, "unreadable row: it holds bytes that are no character"),
        ({"options": ("p", "")}, "missing option: B"),
        ({"needed": 4}, "missing option: 2 found, 4 needed"),
        ({"options": tuple("abcdefghijk")}, "too many options: 11 of at most 10"),
        ({"answer": "C"}, "answer outside the options: C of A to B"),
    ],
)
def test_a_row_that_cannot_be_read_is_no_example(changes: dict[str, Any], reason: str) -> None:
    assert judge_row(raw(**changes)) == (None, reason)


def test_free_text_without_options_is_an_example() -> None:
    question, reason = judge_row(raw(options=(), answer="restart it"))
    assert question is not None
    assert reason == "not multiple choice: the answer is 'restart it'"


@given(
    st.text(max_size=20), st.lists(st.text(max_size=4), max_size=12).map(tuple), st.text("ABCXab,. ()、", max_size=5)
)
def test_a_row_is_usable_only_with_one_right_letter(text: str, options: tuple[str, ...], answer: str) -> None:
    question, reason = judge_row(raw(text=text, options=options, answer=answer))
    if reason is None:
        assert question is not None
        assert question.answer is not None
        assert question.answer in LETTERS[: len(options)]
        assert all(options)
    else:
        assert question is None or question.answer is None


@pytest.mark.parametrize("name", ["C:C++", "C_C++", "c-c++", " C / C++", "Ｃ：C++"])
def test_all_spellings_of_a_name_are_one(name: str) -> None:
    assert normalize_name(name) == "cc++"


@given(st.text(max_size=20))
def test_a_normalized_name_stays_as_it_is_without_separators(name: str) -> None:
    once = normalize_name(name)
    assert not set(once) & set(" :_/-\t\n")
    assert normalize_name(once.upper().lower()) == normalize_name(once.lower())


def test_every_shipped_task_is_found_by_its_name() -> None:
    for task in (*DEVOPS_EVAL_A, *DEVOPS_EVAL_B, *OPSEVAL):
        assert TASK_NAMES[normalize_name(task.name)] == task.name


@given(st.text(max_size=50))
def test_utf8_is_read_with_or_without_a_bom(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("encodings") / "file"
    for encoding in ("utf-8", "utf-8-sig"):
        path.write_bytes(text.encode(encoding))
        assert decode_file(path) == text.removeprefix("\ufeff")


@given(st.binary(max_size=60))
def test_any_bytes_are_some_text(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("encodings") / "file"
    path.write_bytes(content)
    assert isinstance(decode_file(path), str)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nothing"):
        decode_file(tmp_path / "nothing")
