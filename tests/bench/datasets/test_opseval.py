"""OpsEval's JSON: answers and options in any form, and every kind of bad entry."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.bench.datasets.load import load_benchmark
from coe_ray.bench.datasets.opseval import read_json
from coe_ray.bench.datasets.rows import RejectedRow, judge_row
from tests.bench.datasets.benchmark_files import entry, reasons, write_json


@pytest.mark.parametrize(
    ("answer", "letter"), [("A", "A"), ("b", "B"), ("B ", "B"), ("A, ", "A"), (["B"], "B"), ("A,A", "A")]
)
def test_opseval_answers_in_any_form_are_letters(tmp_path: Path, answer: object, letter: str) -> None:
    write_json(tmp_path / "test/Wired Network.json", [entry(answer=answer)])
    assert load_benchmark(tmp_path).questions[0].answer == letter


@pytest.mark.parametrize(
    ("question", "choices"),
    [
        ("Which?", ["one", "two."]),
        ("Which?", ["A. one", "B: two."]),
        ("Which?\n\nA: one\nB: two.", ["one", "two."]),
        ("Which?\nA、 one \nB、two", ["one", "two."]),
        ("Which?\nA. one\nB. two.", None),
        ("Which?\n(A) one\n(B)\ntwo.\n", []),
        ('"Which?\nA. one\nB. two."', []),
    ],
)
def test_opseval_options_come_from_choices_or_text(tmp_path: Path, question: str, choices: object) -> None:
    write_json(tmp_path / "test/5G Communication.json", [entry(question, "B", choices)])
    (found,) = load_benchmark(tmp_path).questions
    assert (found.text, found.options, found.answer) == ("Which?", ("one", "two."), "B")
    assert found.task == "5G Communication"


def test_opseval_text_that_differs_from_the_choices_is_kept(tmp_path: Path) -> None:
    text = "Given\nA. red\nB. green\nwhich?"
    write_json(tmp_path / "test/Log_Analysis.json", [entry(text, "A", ["A and B", "neither"])])
    assert load_benchmark(tmp_path).questions[0].text == text


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (entry(answer="C,D,F"), "several answers: C, D, F"),
        (entry(answer="A,B,\n"), "several answers: A, B"),
        (entry(answer="ABCD"), "several answers: A, B, C, D"),
        (entry(answer="4"), "not multiple choice: the answer is '4'"),
        (entry(answer="restart\nit", choices=None), "not multiple choice: the answer is 'restart it'"),
        (entry(answer=None), "no answer"),
        (entry(choices=["p", None, "r"]), "missing option: B"),
        (entry(choices=["p"]), "missing option: 1 found, 2 needed"),
        (entry("Which? A. p B. q", "A", []), "missing option: 0 found, 2 needed"),
        (entry("Which?\nA. p\nB. q\nD. s", "A", []), "missing option: 0 found, 2 needed"),
        (entry(choices=list("pqrstuvwxyz")), "too many options: 11 of at most 10"),
        (entry(answer="C"), "answer outside the options: C of A to B"),
        (entry(""), "empty question"),
        (entry("\ud800"), "unreadable row: it holds bytes that are no character"),
        (entry(choices="p, q"), "unreadable row: an object with question, answer and choices is needed"),
        (["Which?"], "unreadable row: an object with question, answer and choices is needed"),
        ({"id": "X-1"}, "unreadable row: an object with question, answer and choices is needed"),
        (entry("Fine?"), "duplicate: the same as row 1 of test/Oracle Database.json (id 'X-1')"),
    ],
)
def test_a_bad_opseval_row_is_rejected_with_its_reason(tmp_path: Path, bad: object, reason: str) -> None:
    write_json(tmp_path / "test/Oracle Database.json", [entry("Fine?"), bad])
    benchmark = load_benchmark(tmp_path)
    assert len(benchmark.questions) == 1
    given = "" if isinstance(bad, list) else "X-1"
    assert benchmark.rejected == (RejectedRow("test/Oracle Database.json", 2, given, reason),)


@pytest.mark.parametrize("content", ["[", "{}", "", '"x"', "[" * 100_000])
def test_a_file_that_is_no_list_is_one_rejected_row(tmp_path: Path, content: str) -> None:
    write_json(tmp_path / "test/Log Analysis.json", [entry()])
    (tmp_path / "test/Oracle Database.json").write_text(content)
    (rejected,) = load_benchmark(tmp_path).rejected
    assert (rejected.file, rejected.row) == ("test/Oracle Database.json", 0)
    assert rejected.reason.startswith("unreadable file: ")


def test_opseval_rows_of_an_unknown_task_are_rejected(tmp_path: Path) -> None:
    write_json(tmp_path / "test/Log Analysis.json", [entry()])
    write_json(tmp_path / "test/Cooking.json", [entry(), entry("x")])
    assert reasons(load_benchmark(tmp_path)) == ["unknown task: 'Cooking' is no task of OpsEval or of the profile"] * 2


def test_quotes_around_a_text_are_a_trace_of_csv_and_others_are_kept(tmp_path: Path) -> None:
    texts = ['"Which?"', 'What is "ls"?', '"a" or "b"']
    write_json(tmp_path / "test/Log Analysis.json", [entry(text) for text in texts])
    rows = read_json(tmp_path / "test/Log Analysis.json", "test/Log Analysis.json")
    assert [one.text for one in rows] == ["Which?", 'What is "ls"?', '"a" or "b"']


def test_a_profiles_task_comes_before_a_shipped_one(tmp_path: Path) -> None:
    write_json(tmp_path / "test/log_analysis.json", [entry()])
    path = tmp_path / "test/log_analysis.json"
    assert [one.task for one in read_json(path, "f")] == ["Log Analysis"]
    assert [one.task for one in read_json(path, "f", {"loganalysis": "Our Logs"})] == ["Our Logs"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["id", "question", "answer", "choices"])


@given(st.lists(st.dictionaries(KEYS, JSON, max_size=4) | JSON, max_size=5))
def test_whatever_the_entries_are_each_is_one_row(tmp_path_factory: pytest.TempPathFactory, entries: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("opseval", numbered=True)
    write_json(folder / "test/Log Analysis.json", entries)
    rows = read_json(folder / "test/Log Analysis.json", "f")
    assert [one.number for one in rows] == list(range(1, len(entries) + 1))
    for one in rows:
        question, reason = judge_row(one)
        assert (question is not None and question.answer in question.letters) or reason
