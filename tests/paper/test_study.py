"""`coe-ray reproduce` as its users start it: a whole study on a Ray of its own; resumed, replayed, refused."""

import csv
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from tests.support.cluster import ROOT, Cluster
from tests.support.profiles import ENCODER

pytestmark = pytest.mark.timeout(600)

SERIES = "Time Series Forecasting"
PROFILE: dict[str, Any] = {
    "tasks": ["devops-eval-a"],
    "models": {
        "sorter": {
            "kind": "scripted",
            "rules": [
                {"pattern": "(?i)next values|forecast", "reply": f"**Task: {SERIES}**"},
                {"pattern": ".", "reply": "**Task: Log Parser**"},
            ],
        },
        "first": {"kind": "scripted", "rules": [{"pattern": ".", "reply": "the answer is (A)"}]},
        "statistics": {"kind": "python", "target": "coe_ray.experts.timeseries:TimeSeriesExpert"},
    },
    "experts": {"first": {"model": "first"}, "timeseries": {"model": "statistics", "prompt": "direct"}},
    "classifier": {"model": "sorter", "decoding": "free", "k": 2},
    "retrieval": {"encoder": ENCODER},
    "study": {
        "singles": {"large": {"model": "first", "prompt": "direct"}},
        "transfer": {"Monitor": "Log Parser", "Operate": "Root Cause Analysis"},
        "scenarios": {
            "merged": {
                "change": {
                    "tasks": [
                        {"name": "Text", "description": "logs and incidents"},
                        {"name": "Series", "description": "lists of metric values"},
                    ],
                },
                "relabel": {
                    "english/LogParser": "Text",
                    "Root Cause Analysis": "Text",
                    "Time Series Anomaly Detection": "Series",
                    "Time Series Classification": "Series",
                    SERIES: "Series",
                },
            }
        },
    },
}
ARGUMENTS = ["--per-task", "3", "--fine-tune"]


@dataclass(frozen=True, slots=True)
class Study:
    ray: Cluster
    profile: Path
    out: Path

    @property
    def findings(self) -> dict[str, Any]:
        content: dict[str, Any] = orjson.loads((self.out / "findings.json").read_bytes())
        findings: dict[str, Any] = content["profiles"]["planted"]
        return findings


def reproduce(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "jobs.reproduce", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=400)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, bench_cluster: Cluster) -> Study:
    folder = tmp_path_factory.mktemp("study")
    profile = folder / "planted.yaml"
    profile.write_text(yaml.safe_dump(PROFILE, sort_keys=False), "utf-8")
    done = reproduce(bench_cluster.environment, "--profile", str(profile), "--out", str(folder / "out"), *ARGUMENTS)
    assert done.returncode == 0, done.stdout + done.stderr
    return Study(bench_cluster, profile, folder / "out")


def calls(study: Study) -> list[bytes]:
    return sorted(line for file in (study.out / "journal").glob("*.jsonl") for line in file.read_bytes().splitlines())


def test_every_table_and_figure_is_there(study: Study) -> None:
    findings = study.findings
    assert findings["questions"] == 15
    assert set(findings["alone"]) == {"first", "timeseries", "large"}
    assert {"classifier", "classifier without RAG", "neighbours", "random", "bench-coe"} < set(findings["classifiers"])
    assert {"bench-coe moved", "bench-coe fine-tuned"} < set(findings["classifiers"])
    assert findings["scenarios"]["merged"]["tasks"] == 2
    assert findings["protocols"]["held-out"]["systems"]["coe/classifier"]["accuracy"] is not None
    written = (study.out / "tables.md").read_text("utf-8")
    for title in ("Effectiveness", "Efficiency", "Task classification", "Comparisons", "Losses", "Scenarios"):
        assert f"### {title}" in written
    assert (study.out / "tables.tex").read_text("utf-8").count(r"\begin{table}") == written.count("### ")
    kinds = {path.suffix for path in (study.out / "figures").iterdir()}
    assert kinds == {".png", ".svg"}


def test_the_labels_were_asked_with_and_without_examples(study: Study) -> None:
    prompts = b"\n".join(path.read_bytes() for path in (study.out / "journal").glob("*.prompts.jsonl"))
    assert prompts.count(b"These similar questions are already sorted") < prompts.count(b"You sort questions")


def test_the_same_command_again_calls_nothing(study: Study) -> None:
    before = calls(study)
    again = reproduce(study.ray.environment, "--profile", str(study.profile), "--out", str(study.out), *ARGUMENTS)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "every question is answered already" in again.stdout
    assert calls(study) == before


def test_another_study_has_no_place_in_its_folder(study: Study) -> None:
    other = reproduce(study.ray.environment, "--profile", str(study.profile), "--out", str(study.out))
    assert other.returncode == 2
    assert "holds another study" in other.stderr


def test_a_replay_makes_the_same_tables_without_ray(study: Study) -> None:
    before = (study.out / "tables.md").read_bytes()
    (study.out / "tables.md").unlink()
    nowhere = {**study.ray.environment, "RAY_ADDRESS": "127.0.0.1:1"}
    again = reproduce(nowhere, "--replay", str(study.out))
    assert again.returncode == 0, again.stderr
    assert (study.out / "tables.md").read_bytes() == before


def test_a_dry_run_says_what_would_be_called_and_calls_nothing(study: Study, tmp_path: Path) -> None:
    nowhere = {**study.ray.environment, "RAY_ADDRESS": "127.0.0.1:1"}
    result = reproduce(nowhere, "--profile", str(study.profile), "--out", str(tmp_path / "none"), "--dry-run")
    assert result.returncode == 0, result.stderr
    assert "nothing was called" in result.stdout
    assert not (tmp_path / "none").exists()


def write_leaky_benchmark(folder: Path) -> Path:
    """A benchmark whose dev split holds a test question, its options in another order and its words in capitals."""
    head = ["id", "question", "A", "B", "C", "D", "answer"]
    question = ["1", "Which line is the template?", "one", "two", "three", "four", "A"]
    twin = ["9", "WHICH LINE IS THE TEMPLATE", "four", "three", "two", "one", "D"]
    for split, row in (("test", question), ("dev", twin)):
        file = folder / "english" / split / "LogParser.csv"
        file.parent.mkdir(parents=True)
        with file.open("w", encoding="utf-8", newline="") as out:
            csv.writer(out).writerows([head, row, ["2", f"Another question of {split}?", "a", "b", "c", "d", "B"]])
    return folder


def test_a_leak_is_refused_before_anything_is_asked(study: Study, tmp_path: Path) -> None:
    data, out = write_leaky_benchmark(tmp_path / "data"), tmp_path / "out"
    common = ["--profile", str(study.profile), "--data", str(data), "--out", str(out)]
    refused = reproduce(study.ray.environment, *common)
    assert refused.returncode == 2
    assert "1 of 2 scored questions are in the labelled examples" in refused.stderr
    assert not out.exists()
    result = reproduce(study.ray.environment, *common, "--leave-out-leaks", "--dry-run")
    assert result.returncode == 0, result.stderr


def test_a_leak_in_the_data_of_the_held_out_mapping_is_refused(study: Study, tmp_path: Path) -> None:
    """The study's own run scored the very questions."""
    run = study.out / "runs" / "planted"
    mapped = ["--profile", str(study.profile), "--out", str(tmp_path / "out"), *ARGUMENTS[:2], "--mapping", str(run)]
    refused = reproduce(study.ray.environment, *mapped)
    assert refused.returncode == 2
    assert "which the held-out mapping is made of" in refused.stderr
