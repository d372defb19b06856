"""Benchmark loading: every published layout, splits, examples, duplicates and drawn parts, and no row lost."""

import random
import re
from collections import Counter
from pathlib import Path

import pytest

from coe_ray.bench.datasets.load import Benchmark, load_benchmark, sample_by_task
from coe_ray.core.errors import DataError
from coe_ray.core.questions import near_duplicate_key, question_id
from coe_ray.core.types import Task
from coe_ray.profile.tasks import DEVOPS_EVAL_A, DEVOPS_EVAL_B, OPSEVAL
from tests.bench.datasets.benchmark_files import CHINESE, ENGLISH, entry, row, write_csv, write_json
from tests.bench.datasets.devops_eval_folder import write_folder


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
