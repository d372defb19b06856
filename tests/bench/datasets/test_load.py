"""Benchmark loading: every published form, every kind of bad row, and no row lost."""

import csv
import io
import json
import random
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from coe_ray.bench.datasets import hub
from coe_ray.bench.datasets.devops_eval import expected_sizes
from coe_ray.bench.datasets.load import Benchmark, load_benchmark, sample_by_task
from coe_ray.bench.datasets.rows import RejectedRow, category_of
from coe_ray.core.errors import DataError
from coe_ray.core.questions import near_duplicate_key, question_id
from coe_ray.core.types import Task
from coe_ray.profile.tasks import DEVOPS_EVAL_A, DEVOPS_EVAL_B, OPSEVAL
from tests.bench.datasets.devops_eval_folder import write_folder

HEADER = ["id", "question", "A", "B", "C", "D", "answer"]
ENGLISH = {
    "Log Parser": 350,
    "Root Cause Analysis": 250,
    "Time Series Anomaly Detection": 300,
    "Time Series Classification": 200,
    "Time Series Forecasting": 320,
}
CHINESE = {
    "Build": 218,
    "Code": 1321,
    "Deploy": 255,
    "Monitor": 216,
    "Operate": 2041,
    "Plan": 66,
    "Release": 212,
    "Test": 228,
}

Entry = dict[str, Any]


def row(text: str = "Which?", answer: str = "A", options: Sequence[str] = ("p", "q", "r", "s")) -> list[str]:
    return ["7", text, *options, answer]


def write_csv(path: Path, *rows: Sequence[str], header: Sequence[str] = HEADER, encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    path.write_bytes(text.getvalue().encode(encoding))


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def entry(question: str = "Which?", answer: object = "A", choices: object = ("p", "q")) -> Entry:
    return {"id": "X-1", "question": question, "answer": answer, "choices": choices}


def reasons(benchmark: Benchmark) -> list[str]:
    return [one.reason for one in benchmark.rejected]


def counts(benchmark: Benchmark, language: str) -> dict[str | None, int]:
    return dict(Counter(question.task for question in benchmark.questions if question.language == language))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("devops-eval"))


def test_the_full_folder_has_the_sizes_of_table_1(folder: Path) -> None:
    benchmark = load_benchmark(folder)
    assert len(benchmark.questions) == 5_977
    assert counts(benchmark, "english") == ENGLISH
    assert counts(benchmark, "chinese") == CHINESE
    assert benchmark.rejected == ()
    assert benchmark.tasks == DEVOPS_EVAL_A + DEVOPS_EVAL_B
    assert len(benchmark.examples) == 5 * (55 + 5)


def test_the_expected_sizes_are_those_of_table_1() -> None:
    sizes = expected_sizes()
    assert {task: size for (language, task), size in sizes.items() if language == "english"} == ENGLISH
    assert {task: size for (language, task), size in sizes.items() if language == "chinese"} == CHINESE


def test_the_folder_can_be_sorted_and_answered_by_a_script(folder: Path) -> None:
    benchmark = load_benchmark(folder)
    marks = [re.search(r"\[(.+)#(\d+)\] key=([A-D])", question.text) for question in benchmark.questions]
    found = [(mark[1], mark[3]) for mark in marks if mark]
    assert found == [(question.task, question.answer) for question in benchmark.questions]
    questions = [*benchmark.questions, *benchmark.examples]
    assert len({near_duplicate_key(one.text, one.options) for one in questions}) == len(questions)
    assert min(Counter(question.answer for question in benchmark.questions).values()) > 1_300


def test_a_scaled_folder_is_small_and_the_same_every_time(tmp_path: Path) -> None:
    one, other = (write_folder(tmp_path / name, scale=0.01) for name in ("one", "other"))
    assert load_benchmark(one).questions == load_benchmark(other).questions
    assert 60 <= len(load_benchmark(one).questions) < 120
    assert len(load_benchmark(one, split="dev").questions) == 300


def test_the_sample_loads_without_a_reject() -> None:
    for split in ("test", "dev"):
        benchmark = load_benchmark("sample", split="test" if split == "test" else "dev")
        assert benchmark.name == "sample"
        assert benchmark.tasks == DEVOPS_EVAL_A + DEVOPS_EVAL_B
        assert benchmark.rejected == ()
        assert {question.task for question in benchmark.questions} == {task.name for task in benchmark.tasks}


def test_a_question_carries_what_the_file_says(tmp_path: Path) -> None:
    write_csv(tmp_path / "english/test/VersionControl.csv", row(" Which? ", " b "))
    (question,) = load_benchmark(tmp_path).questions
    assert (question.text, question.options) == ("Which?", ("p", "q", "r", "s"))
    assert (question.answer, question.task, question.language) == ("B", "Build", "english")
    assert question.id == question_id("Which?", ("p", "q", "r", "s"))


@pytest.mark.parametrize("answer", ["C", "c", " C\n", "C.", "(C)", "C、", "Ｃ"])
def test_an_answer_in_any_form_is_its_letter(tmp_path: Path, answer: str) -> None:
    write_csv(tmp_path / "english/test/Go.csv", row(answer=answer))
    assert load_benchmark(tmp_path).questions[0].answer == "C"


@pytest.mark.parametrize(
    ("path", "text", "task", "language"),
    [
        ("chinese/test/LogParser.csv", "请解析 a b c d e f g h i j k l m n", "Operate", "chinese"),
        ("english/test/LogParser.csv", "Parse", "Log Parser", "english"),
        ("zh/test/LogParser.csv", "x", "Operate", "chinese"),
        ("en/test/OPERATE/AIOps/LogParser.csv", "x", "Log Parser", "english"),
        ("test/LogParser.csv", "Parse this", "Log Parser", "english"),
        ("test/LogParser.csv", "解析日志", "Operate", "chinese"),
        ("test/log_parser.csv", "Parse", "Log Parser", "english"),
        ("data/test/RootCauseAnalysis.csv", "Why?", "Root Cause Analysis", "english"),
        ("data/english/test/Go.csv", "x", "Code", "english"),
        ("data/chinese/test/TEST/UnitTesting.csv", "x", "Test", "chinese"),
        ("test/CI:CD.csv", "x", "Release", "english"),
        ("test/CI_CD.csv", "x", "Release", "english"),
        ("test/ci-cd.CSV", "x", "Release", "english"),
        ("test/C:C++.csv", "x", "Code", "english"),
        ("test/C_C++.csv", "x", "Code", "english"),
        ("test/C-C++.csv", "x", "Code", "english"),
        ("test/OperationScenes.csv", "运维", "Operate", "chinese"),
        ("test/OperateScene.csv", "运维", "Operate", "chinese"),
        ("test/Build.csv", "x", "Build", "english"),
        ("chinese/test/Time Series Forecasting.csv", "x", "Operate", "chinese"),
        ("test/Wired Network.csv", "x", "Wired Network", "english"),
    ],
)
def test_every_layout_and_name_finds_its_task(tmp_path: Path, path: str, text: str, task: str, language: str) -> None:
    write_csv(tmp_path / path, row(text))
    (question,) = load_benchmark(tmp_path).questions
    assert (question.task, question.language) == (task, language)


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


def test_every_question_has_the_category_of_its_file_and_examples_share_it(tmp_path: Path) -> None:
    write_csv(tmp_path / "english/test/Go.csv", row("one"), row("two"))
    write_csv(tmp_path / "english/dev/Go.csv", row("three"), row("four", "A,B"))
    write_csv(tmp_path / "chinese/test/TEST/UnitTesting.csv", row("五"))
    write_json(tmp_path / "test/Log Analysis.json", [entry("six?")])
    benchmark = load_benchmark(tmp_path)
    assert {question.text: question.category for question in (*benchmark.questions, *benchmark.examples)} == {
        **dict.fromkeys(("one", "two", "three", "four"), "english/Go"),
        "五": "chinese/UnitTesting",
        "six?": "Log Analysis",
    }


def test_the_sample_has_solved_examples_of_every_category_that_is_asked() -> None:
    benchmark = load_benchmark("sample")
    solved = {example.category for example in benchmark.examples if example.answer}
    asked = {question.category for question in benchmark.questions}
    assert "english/LogParser" in asked <= solved


@pytest.mark.parametrize("header", ["id,Question,A,B,C,D,Answer", " ID , question ,A , B,C,D,answer ,explanation"])
def test_headings_may_be_capital_or_blank_padded(tmp_path: Path, header: str) -> None:
    write_csv(tmp_path / "test/Go.csv", row(answer="D"), header=header.split(","))
    assert load_benchmark(tmp_path).questions[0].answer == "D"


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


def test_hidden_twins_of_mac_archives_are_no_data(tmp_path: Path) -> None:
    write_csv(tmp_path / "test/Go.csv", row())
    for twin in ("__MACOSX/test/._Go.csv", "test/._Go.csv", ".cache/test/Go.csv"):
        write_csv(tmp_path / twin, row("x"))
    assert len(load_benchmark(tmp_path).questions) == 1
    assert load_benchmark(tmp_path).rejected == ()


def test_examples_are_dev_rows_with_or_without_a_single_answer(tmp_path: Path) -> None:
    write_csv(tmp_path / "english/test/Go.csv", row())
    bad = [row("several", "A,B"), row("none", ""), row("free", "by hand"), row("", "A"), row("out", "F")]
    write_csv(tmp_path / "english/dev/Go.csv", row("one"), *bad, row("one"), row("hole", "A", ("p", "", "", "")))
    examples = load_benchmark(tmp_path).examples
    assert [(one.text, one.answer, one.task) for one in examples] == [
        ("one", "A", "Code"),
        ("several", None, "Code"),
        ("none", None, "Code"),
        ("free", None, "Code"),
    ]
    dev = load_benchmark(tmp_path, split="dev")
    assert dev.examples == examples
    assert len(dev.questions) + len(dev.rejected) == 8


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


def test_tasks_come_in_the_order_of_their_set(tmp_path: Path) -> None:
    for place, task in enumerate(reversed(OPSEVAL)):
        write_json(tmp_path / f"test/{task.name}.json", [entry(f"Question {place}?")])
    assert load_benchmark(tmp_path).tasks == OPSEVAL


@pytest.mark.parametrize("seed", range(20))
def test_no_row_is_ever_lost(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    pool = ["", " ", "A", "b", "A,B", "E", "Which?", "哪个", "A. p\nB. q", '"', "\x00", "5", "free text"]
    cells = [[rng.choice(pool) for _ in range(rng.randint(2, 9))] for _ in range(40)]
    entries = [
        rng.choice([entry(rng.choice(pool), rng.choice(pool), rng.choices(pool, k=rng.randint(0, 4))), None, 3])
        for _ in range(40)
    ]
    write_csv(tmp_path / "test/Go.csv", row("Fine?"), *cells)
    write_csv(tmp_path / "test/Cooking.csv", *cells)
    write_json(tmp_path / "test/Log Analysis.json", entries)
    benchmark = load_benchmark(tmp_path)
    assert len(benchmark.questions) + len(benchmark.rejected) == 1 + 40 + 40 + 40
    assert all(one.answer in one.letters and one.text for one in benchmark.questions)


@pytest.mark.parametrize(
    ("source", "message"),
    [("sampel", "give 'sample', 'devops-eval' or an existing folder"), (Path("/nowhere"), "no benchmark")],
)
def test_a_source_that_is_none_is_named(source: str | Path, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_benchmark(source)


def test_a_folder_without_the_split_says_what_was_looked_for(tmp_path: Path) -> None:
    write_csv(tmp_path / "dev/Go.csv", row())
    with pytest.raises(DataError, match=r"no row in a test split; looked for <language>/test/<Category>\.csv"):
        load_benchmark(tmp_path)


def test_a_folder_without_a_usable_row_says_why(tmp_path: Path) -> None:
    write_csv(tmp_path / "test/Go.csv", row(answer="A,B"), row(answer="A,C"), row(answer="F"))
    with pytest.raises(DataError, match=r"2 × several answers, 1 × answer outside the options"):
        load_benchmark(tmp_path)


def test_devops_eval_comes_from_the_pinned_archive(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.make_archive(str(tmp_path / "devopseval-exam"), "zip", folder)
    asked: Entry = {}

    def snapshot(repository: str, **options: object) -> str:
        asked.update(options, repository=repository)
        return str(tmp_path)

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    benchmark = load_benchmark("devops-eval")
    assert asked["repository"] == "codefuse-ai/CodeFuse-DevOps-Eval"
    assert (asked["repo_type"], asked["revision"]) == ("dataset", hub.REVISION)
    assert (benchmark.name, len(benchmark.questions), len(benchmark.examples)) == ("devops-eval", 5_977, 300)


def test_a_profile_has_tasks_of_its_own(tmp_path: Path) -> None:
    own = (Task("Runbook Steps", "which step comes next"), Task("Python", "scripts of ours"), DEVOPS_EVAL_B[1])
    for name in ("RunbookSteps", "Python", "Go"):
        write_csv(tmp_path / "test" / f"{name}.csv", row(f"{name}?"))
    write_json(tmp_path / "dev" / "runbook-steps.json", [entry("And then?")])
    benchmark = load_benchmark(tmp_path, tasks=own)
    assert {question.text: question.task for question in benchmark.questions} == {
        "RunbookSteps?": "Runbook Steps",
        "Python?": "Python",  # the profile's own stands before the category of that name
        "Go?": "Code",
    }
    assert [example.task for example in benchmark.examples] == ["Runbook Steps"]
    assert benchmark.tasks == (DEVOPS_EVAL_B[1], own[0], own[1])
    assert load_benchmark(tmp_path).rejected[-1].reason.startswith("unknown category: 'RunbookSteps'")


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


def test_an_unreachable_hub_is_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(hub, "snapshot_download", offline)
    with pytest.raises(DataError, match=r"cannot download .*no connection; check the network"):
        load_benchmark("devops-eval")


def test_a_broken_archive_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "devopseval-exam.zip").write_bytes(b"PK")
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: str(tmp_path))
    with pytest.raises(DataError, match="cannot unpack"):
        load_benchmark("devops-eval")
    with zipfile.ZipFile(tmp_path / "devopseval-exam.zip", "w"):
        pass
    with pytest.raises(DataError, match="no row in a test split"):
        load_benchmark("devops-eval")


def test_a_stratified_draw_depends_on_the_seed_and_not_on_the_order(folder: Path) -> None:
    questions = list(load_benchmark(folder).questions)
    drawn = sample_by_task(questions, 3, seed=1)
    assert set(Counter(question.task for question in drawn).values()) == {3}
    assert len(drawn) == 3 * 13
    random.Random(0).shuffle(questions)
    assert sample_by_task(questions, 3, seed=1) == drawn
    assert sample_by_task(questions, 3, seed=2) != drawn
    assert set(drawn) < set(sample_by_task(questions, 10, seed=1))
    assert len(sample_by_task(questions, 10_000, seed=1)) == len(questions)
    with pytest.raises(ValueError, match="at least 1"):
        sample_by_task(questions, 0, seed=1)
