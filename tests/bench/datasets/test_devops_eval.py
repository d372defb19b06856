"""DevOps-Eval's CSV: headings, answers, every kind of bad row, categories, and the published sizes."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.bench.datasets import hub
from coe_ray.bench.datasets.devops_eval import categories, check_sizes, expected_sizes, read_csv, task_of
from coe_ray.bench.datasets.load import load_benchmark
from coe_ray.bench.datasets.rows import (
    RejectedRow,
    Row,
    judge_row,
)
from coe_ray.core.errors import DataError
from coe_ray.core.types import Language
from tests.bench.datasets.benchmark_files import CHINESE, ENGLISH, reasons, row, write_csv
from tests.bench.datasets.devops_eval_folder import write_folder


def test_the_expected_sizes_are_those_of_table_1() -> None:
    sizes = expected_sizes()
    assert {task: size for (language, task), size in sizes.items() if language == "english"} == ENGLISH
    assert {task: size for (language, task), size in sizes.items() if language == "chinese"} == CHINESE


@pytest.mark.parametrize("answer", ["C", "c", " C\n", "C.", "(C)", "C、", "Ｃ"])
def test_an_answer_in_any_form_is_its_letter(tmp_path: Path, answer: str) -> None:
    write_csv(tmp_path / "english/test/Go.csv", row(answer=answer))
    assert load_benchmark(tmp_path).questions[0].answer == "C"


@pytest.mark.parametrize("header", ["id,Question,A,B,C,D,Answer", " ID , question ,A , B,C,D,answer ,explanation"])
def test_headings_may_be_capital_or_blank_padded(tmp_path: Path, header: str) -> None:
    write_csv(tmp_path / "test/Go.csv", row(answer="D"), header=header.split(","))
    assert load_benchmark(tmp_path).questions[0].answer == "D"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (row(options=("p", "", "r", "s")), "missing option: B"),
        (row(options=("p", "q", " ", "")), "missing option: C, D"),
        (row(answer="E"), "answer outside the options: E of A to D"),
        (row(answer="A,C"), "several answers: A, C"),
        (row(answer="bd"), "several answers: B, D"),
        (row(answer=""), "no answer"),
        (row(answer="BAD"), "not multiple choice: the answer is 'BAD'"),
        (row(text="  "), "empty question"),
        (["7", "Which?"], "missing option: A, B, C, D"),
        ([*row(), "more"], "unreadable row: 8 cells under 7 headings"),
        (row(text="Fine?"), "duplicate: the same as row 1 of english/test/Go.csv (id '7')"),
        (
            row(text="Fine?", answer="B"),
            "duplicate: the same as row 1 of english/test/Go.csv (id '7'), but with the answer B for A",
        ),
        (row(text="x" * 140_000), "unreadable row: field larger than field limit (131072)"),
    ],
)
def test_a_bad_row_is_rejected_with_its_reason(tmp_path: Path, bad: list[str], reason: str) -> None:
    write_csv(tmp_path / "english/test/Go.csv", row("Fine?"), bad, row("Fine, too?"))
    benchmark = load_benchmark(tmp_path)
    assert [question.text for question in benchmark.questions] == ["Fine?", "Fine, too?"]
    given = "" if "field limit" in reason else "7"
    assert benchmark.rejected == (RejectedRow("english/test/Go.csv", 2, given, reason),)


def test_a_file_of_no_known_category_is_rejected_row_for_row(tmp_path: Path) -> None:
    write_csv(tmp_path / "english/test/Go.csv", row())
    write_csv(tmp_path / "english/test/Cooking.csv", row("How long?"), row("How hot?"))
    reason = "unknown category: 'Cooking' is no category of DevOps-Eval and no task of the profile"
    assert load_benchmark(tmp_path).rejected == tuple(
        RejectedRow("english/test/Cooking.csv", number, "7", reason) for number in (1, 2)
    )


def test_a_file_without_a_needed_column_is_rejected_row_for_row(tmp_path: Path) -> None:
    write_csv(tmp_path / "test/Go.csv", row())
    write_csv(tmp_path / "test/Java.csv", ["1", "Which?", "p"], header=["id", "question", "A"])
    assert reasons(load_benchmark(tmp_path)) == ["missing column: b, c, d, answer"]


def test_an_empty_file_is_one_rejected_row(tmp_path: Path) -> None:
    write_csv(tmp_path / "test/Go.csv", row())
    (tmp_path / "test/Java.csv").write_bytes(b"\xef\xbb\xbf\n")
    assert load_benchmark(tmp_path).rejected == (RejectedRow("test/Java.csv", 0, "", "unreadable file: it is empty"),)


def test_blank_lines_and_line_breaks_in_cells_do_not_shift_rows(tmp_path: Path) -> None:
    write_csv(tmp_path / "test/Go.csv", row("one\n\ntwo"), [], [" "], row("x", answer="?"))
    benchmark = load_benchmark(tmp_path)
    assert benchmark.questions[0].text == "one\n\ntwo"
    assert [one.row for one in benchmark.rejected] == [2]


def test_devops_eval_of_other_sizes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path)
    (tmp_path / "english/test/LogParser.csv").unlink()
    write_csv(tmp_path / "chinese/test/Cooking.csv", row())
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: str(tmp_path))
    with pytest.raises(DataError) as raised:
        load_benchmark("devops-eval")
    assert "english Log Parser: 0 rows for 350" in str(raised.value)
    assert "chinese of no task: 1 rows for 0" in str(raised.value)
    assert str(raised.value).count(" rows for ") == 2


@pytest.mark.parametrize(
    ("category", "language", "task"),
    [
        ("LogParser", "english", "Log Parser"),
        ("LogParser", "chinese", "Operate"),
        ("Log Parser", "english", "Log Parser"),
        ("C:C++", "english", "Code"),
        ("Wired Network", "chinese", "Wired Network"),
        ("Cooking", "english", None),
    ],
)
def test_a_category_has_a_task_by_language(category: str, language: Language, task: str | None) -> None:
    assert task_of(category, language) == task


def test_a_profiles_task_comes_before_categories() -> None:
    own = {"python": "Scripts", "logparser": "Logs"}
    assert task_of("Python", "english", own) == "Scripts"
    assert task_of("Log-Parser", "english", own) == "Logs"
    assert task_of("Java", "english", own) == "Code"


def test_every_published_category_is_found_by_all_its_names() -> None:
    for category in categories():
        for name in (category.name, *category.other_names):
            assert task_of(name, "chinese") == category.phase


def test_sizes_that_differ_are_all_named() -> None:
    sizes = expected_sizes().items()
    languages: dict[str, Language] = {"english": "english", "chinese": "chinese"}
    rows = [Row("f", 1, task=task, language=languages[each]) for (each, task), size in sizes for _ in range(size)]
    check_sizes(rows)
    rows.remove(Row("f", 1, task="Log Parser", language="english"))
    rows.append(Row("f", 0, fault="unreadable file"))
    with pytest.raises(DataError) as error:
        check_sizes(rows)
    assert "english Log Parser: 349 rows for 350; unreadable of no task: 1 rows for 0. " in str(error.value)


def as_csv(cells: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(cells)
    return text.getvalue()


@given(st.text(max_size=200) | st.lists(st.lists(st.text(max_size=5), max_size=9), max_size=5).map(as_csv))
def test_whatever_a_file_holds_each_record_is_one_row(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("devops_eval")
    (folder / "test").mkdir()
    (folder / "test/Go.csv").write_text("id,question,A,B,C,D,answer\n" + text, encoding="utf-8", newline="")
    rows = read_csv(folder / "test/Go.csv", "f")
    assert [one.number for one in rows] == list(range(1, len(rows) + 1))
    assert all(any(judge_row(one)) for one in rows)
