"""Checks of the shipped sample: fair against blind guessing, free of copies, and rebuilt by its generator.

The files are read the way a user would find them on disk, so a hand edit that breaks a rule fails here.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import coe_ray.data
from jobs.sample_generator import SEED, generate, write
from jobs.sample_generator.guesses import LETTERS, longest, overlapping, rates

SAMPLE = Path(coe_ray.data.__path__[0]) / "sample"
LANGUAGES = ("english", "chinese")
AIOPS = (
    "TimeSeriesAnomalyDetection",
    "TimeSeriesClassification",
    "TimeSeriesForecasting",
    "LogParser",
    "RootCauseAnalysis",
)
PHASES = {
    "BUILD": ("VersionControl", "Dependency"),
    "CODE": ("Python", "DBDesign"),
    "DEPLOY": ("InfrastructureAsCode", "ConfigMgmt"),
    "MONITOR": ("Visualization", "DataAcquisition"),
    "OPERATE": ("ContainerOrchestration", "Virtualization"),
    "PLAN": ("REQM", "RiskMgmt"),
    "RELEASE": ("ArtifactMgmt", "CI:CD"),
    "TEST": ("UnitTesting", "PerformanceTesting"),
}
TASKS = {**{category: (category,) for category in AIOPS}, **PHASES}
COLUMNS = ["id", "question", *LETTERS, "answer"]
LIMIT = 0.35

Row = dict[str, str]


def table(language: str, split: str, category: str) -> list[Row]:
    """Read one file, or nothing if a category does not exist in this language."""
    path = SAMPLE / language / split / f"{category}.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def task_rows(task: str, *splits: str) -> list[Row]:
    """Read a task over both languages."""
    return [
        row
        for category in TASKS[task]
        for language in LANGUAGES
        for split in splits
        for row in table(language, split, category)
    ]


def hand_written() -> list[Row]:
    """Read all questions that no generator made."""
    return [row for phase in PHASES for row in task_rows(phase, "dev", "test")]


def repeated(runs_of_row: list[set[str]]) -> list[str]:
    """Return what occurs in more than one question."""
    return sorted(run for run, count in Counter(run for runs in runs_of_row for run in runs).items() if count > 1)


def word_runs(text: str, length: int) -> Iterator[str]:
    """List the runs of English words in a text."""
    words = re.findall(r"[a-z0-9']+", text.lower())
    return (" ".join(words[start : start + length]) for start in range(len(words) - length + 1))


def cjk_runs(text: str, length: int) -> Iterator[str]:
    """List the runs of Chinese characters in a text, across punctuation."""
    signs = "".join(re.findall(r"[\u3400-\u9fff]", text))
    return (signs[start : start + length] for start in range(len(signs) - length + 1))


def series_of(question: str) -> list[str]:
    """Find the longest list of numbers in a question."""
    return max((re.findall(r"[\d.]*\d", run) for run in re.findall(r"\d[\d.,; ]*", question)), key=len)


def test_only_known_files_are_shipped() -> None:
    known = {category for categories in TASKS.values() for category in categories}
    assert {path.stem for path in SAMPLE.rglob("*.csv")} == known


def test_files_have_the_expected_form() -> None:
    for path in SAMPLE.rglob("*.csv"):
        content = path.read_bytes()
        assert not content.startswith(b"\xef\xbb\xbf"), path
        assert b"\r" not in content, path
        assert content.endswith(b"\n"), path
        rows = list(csv.reader(content.decode("utf-8").splitlines()))
        assert rows[0] == COLUMNS + ["explanation"] * (path.parent.name == "dev"), path
        assert [row[0] for row in rows[1:]] == [str(index) for index in range(len(rows) - 1)], path
        for row in rows[1:]:
            assert len(row) == len(rows[0]), (path, row)
            assert all(cell.strip() for cell in row), (path, row)
            assert len(set(row[2:6])) == 4, (path, row)
            assert row[6] in LETTERS, (path, row)


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_large_enough(task: str) -> None:
    assert len(task_rows(task, "dev")) >= 5
    assert len(task_rows(task, "test")) >= 20


@pytest.mark.parametrize("splits", [("test",), ("dev", "test")], ids="+".join)
@pytest.mark.parametrize("task", TASKS)
def test_blind_guessing_fails(task: str, splits: tuple[str, ...]) -> None:
    too_good = {rule: rate for rule, rate in rates(task_rows(task, *splits)).items() if rate >= LIMIT}
    assert not too_good


def test_guessing_rules_take_the_first_on_ties() -> None:
    row = {"question": "Is 日本 near a b?", "A": "xyz 9", "B": "a b 日", "C": "日 b a", "D": "a a"}
    assert longest(row) == "A"
    assert overlapping(row) == "B"


def test_no_two_questions_are_the_same() -> None:
    texts = [re.sub(r"\W+", " ", row["question"].lower()) for task in TASKS for row in task_rows(task, "dev", "test")]
    assert [text for text, count in Counter(texts).items() if count > 1] == []


def test_shipped_files_are_what_the_generator_makes(tmp_path: Path) -> None:
    made = generate(SEED)
    assert set(made) == {f"english/{split}/{category}.csv" for split in ("dev", "test") for category in AIOPS}
    for name, content in made.items():
        assert (SAMPLE / name).read_bytes() == content, name
    assert {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in write(tmp_path, SEED)} == made


def test_another_seed_gives_other_questions() -> None:
    ours, other = generate(SEED), generate(SEED + 1)
    assert set(ours) == set(other)
    assert all(ours[name] != other[name] for name in ours)


def test_series_are_long_enough() -> None:
    for category in AIOPS[:3]:
        for row in task_rows(category, "dev", "test"):
            assert 20 <= len(series_of(row["question"])) <= 40, row["question"]


def test_the_named_anomaly_is_in_the_series() -> None:
    named = [
        (int(hit[1]), hit[2], row)
        for row in task_rows("TimeSeriesAnomalyDetection", "dev", "test")
        if (hit := re.fullmatch(r"number (\d+) \(([\d.]+) .*\)", row[row["answer"]]))
    ]
    for number, value, row in named:
        assert series_of(row["question"])[number - 1] == value


def test_the_right_template_matches_its_lines_most_tightly() -> None:
    rows = task_rows("LogParser", "dev", "test")
    for row in rows:
        lines = re.findall(r"`([^`]+)`", row["question"])
        fitting = [letter for letter in LETTERS if all(fits(row[letter], line) for line in lines)]
        assert row["answer"] in fitting
        if len(lines) > 1:
            # With several lines the values differ, so a template that keeps one of them no longer fits.
            assert max(fitting, key=lambda letter: len(row[letter].replace("<*>", ""))) == row["answer"]
    assert len({row[row["answer"]] for row in rows}) == len(rows)


def fits(template: str, line: str) -> bool:
    """Tell whether a template matches the end of a line."""
    return re.search(r"(^| )" + r"\S+".join(map(re.escape, template.split("<*>"))) + "$", line) is not None


def test_the_root_cause_follows_from_the_printed_facts() -> None:
    solved = [
        (cause, row) for row in task_rows("RootCauseAnalysis", "dev", "test") if (cause := root_cause(row["question"]))
    ]
    assert len(solved) >= 12
    for cause, row in solved:
        assert row[row["answer"]] == cause, row["question"]


def root_cause(question: str) -> str | None:
    """Solve three of the incident shapes from their text."""
    if slices := re.findall(r"([\w.]+): (\d+) requests, (\d+) failed", question):
        return str(max(slices, key=lambda part: int(part[2]) / int(part[1]))[0])
    if places := re.findall(r"(\w+) carries ([\w, -]+)", question):
        hit = re.search(r"requests to (.+) fail", question)
        degraded = set(hit[1].split(", ")) if hit else set()
        return next(str(name) for name, tenants in places if set(tenants.split(", ")) == degraded)
    if alerts := re.search(r"^[\w ]+: (.+)\. Alerts, in no particular order: (.+)\. No alert", question):
        calls = dict(re.split(r" -> | calls | depends on ", group) for group in alerts[1].split("; "))
        failing = {part.split(": ")[0] for part in alerts[2].split("; ")}
        return next(name for name in failing if not failing & set(calls.get(name, "").split(", ")))
    return None


@pytest.mark.parametrize("phase", PHASES)
def test_a_phase_has_all_its_files_and_both_languages(phase: str) -> None:
    for language in LANGUAGES:
        assert any(table(language, "test", category) for category in PHASES[phase]), language
        assert any(table(language, "dev", category) for category in PHASES[phase]), language
    for category in PHASES[phase]:
        assert any(table(language, "test", category) for language in LANGUAGES), category


def test_chinese_files_are_chinese() -> None:
    for category in (name for names in PHASES.values() for name in names):
        for row in table("chinese", "test", category) + table("chinese", "dev", category):
            assert re.search(r"[\u3400-\u9fff]", row["question"]), row["question"]


def test_hand_written_questions_share_no_long_run() -> None:
    texts = [[row["question"], *(row[letter] for letter in LETTERS)] for row in hand_written()]
    assert repeated([{run for text in group for run in word_runs(text, 7)} for group in texts]) == []
    assert repeated([{run for text in group for run in cjk_runs(text, 12)} for group in texts]) == []


def test_hand_written_options_are_not_reused() -> None:
    options = sorted(row[letter].lower() for row in hand_written() for letter in LETTERS if len(row[letter]) > 12)
    assert [one for one, other in pairwise(options) if one == other] == []
