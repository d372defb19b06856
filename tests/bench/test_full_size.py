"""DevOps-Eval in its exact sizes as a submitted job that is killed in the middle and submitted again."""

import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from coe_ray.profile.tasks import DEVOPS_EVAL_A
from tests.bench.datasets.devops_eval_folder import write_folder
from tests.bench.job import Bench
from tests.support.cluster import ROOT, Cluster, kill, wait_until
from tests.support.profiles import ENCODER

pytestmark = pytest.mark.timeout(900)

ENGLISH, CHINESE = 1420, 4557
ALL = ENGLISH + CHINESE
AIOPS = {task.name for task in DEVOPS_EVAL_A}
KEYED = r"\[(?:%s)#\d+\] key=([A-D])"

PROFILE: dict[str, Any] = {
    "tasks": ["devops-eval-a", "devops-eval-b"],
    "models": {
        # Names the task of the last mark, which is the question's own; of every number that ends in 7 it knows nothing.
        "sorter": {
            "kind": "scripted",
            "rules": [
                {"pattern": r"#\d*7\] key(?!.*\] key)", "reply": "**Task: [unknown]**"},
                {"pattern": r".*\[([^\]#\n]+)#\d+\] key", "reply": r"**Task: [\1]**"},
            ],
        },
        # Knows the five AIOps tasks and guesses A otherwise; the other one the other way round.
        "series": {
            "kind": "scripted",
            "rules": [
                {"pattern": KEYED % "|".join(sorted(AIOPS)), "reply": r"the answer is (\1)"},
                {"pattern": ".", "reply": "the answer is (A)"},
            ],
        },
        "cycle": {
            "kind": "scripted",
            "rules": [
                {"pattern": KEYED % "|".join(sorted(AIOPS)), "reply": "the answer is (A)"},
                {"pattern": r"key=([A-D])", "reply": r"the answer is (\1)"},
            ],
        },
    },
    "experts": {"series": {"model": "series"}, "cycle": {"model": "cycle", "prompt": "direct"}},
    "classifier": {"model": "sorter", "k": 4},
    "retrieval": {"encoder": ENCODER},
}


@pytest.fixture(scope="module")
def ray(bench_cluster: Cluster) -> Cluster:
    return bench_cluster


def submitted(ray: Cluster, bench: Bench) -> "subprocess.Popen[str]":
    job = ["ray", "job", "submit", "--working-dir", ".", "--", "python", "jobs/bench.py", *bench.arguments]
    return subprocess.Popen(
        job, cwd=ROOT, env=ray.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def marks(data: Path) -> list[tuple[str, int, str]]:
    """Task, number and right letter of every test question, read off the files."""
    mark = re.compile(r"\[([^\]#\n]+)#(\d+)\] key=([A-D])")
    files = [path.read_text("utf-8") for path in data.glob("*/test/*.csv")]
    return [(task, int(number), key) for text in files for task, number, key in mark.findall(text)]


def test_a_killed_job_submitted_again_counts_every_question_once(ray: Cluster, tmp_path: Path) -> None:
    profile = tmp_path / "planted.yaml"
    profile.write_text(yaml.safe_dump(PROFILE, sort_keys=False), "utf-8")
    bench = Bench(ray.environment, profile, write_folder(tmp_path / "data"), tmp_path / "out")

    with submitted(ray, bench) as first:
        wait_until(lambda: bench.finished_calls() >= ALL or first.poll() is not None)
        assert first.poll() is None, first.communicate()[0]
        [driver] = ray.processes("python jobs/bench.py")
        kill(driver)
        output, _ = first.communicate(timeout=60)
    assert first.returncode != 0, output
    assert not (bench.out / "summary.json").exists()
    finished = bench.finished_calls()
    assert ALL <= finished < 3 * ALL

    with submitted(ray, bench) as second:
        output, _ = second.communicate(timeout=600)
    assert second.returncode == 0, output
    assert f"going on: the journal has {finished} finished calls of this run" in output
    assert f"{ALL}/{ALL} questions, 100 %" in output

    answers = Counter((row["question_id"], row["system"]) for row in bench.folder.read_answers())
    assert set(answers.values()) == {1}
    assert len({question for question, _ in answers}) == ALL
    assert len(answers) == 3 * ALL
    check_figures(bench)


def check_figures(bench: Bench) -> None:
    """Every figure that the marks decide."""
    planned = marks(bench.data)
    assert Counter(task in AIOPS for task, _, _ in planned) == {True: ENGLISH, False: CHINESE}
    summary = bench.summary()
    assert (summary["rows"], summary["rejected"], summary["incomplete"]) == (ALL, 0, False)
    calls = summary["calls"]
    assert calls["completed"] == calls["issued"] - calls["abandoned"] == 3 * ALL
    assert (calls["retried"], calls["failed"]) == (0, 0)
    # A scripted call is written down when it is over: the kill can have come between its two lines.
    assert calls["repeated"] == calls["abandoned"] <= 1

    unknown = sum(number % 10 == 7 for _, number, _ in planned)
    series = ENGLISH + sum(key == "A" for task, _, key in planned if task not in AIOPS)
    cycle = CHINESE + sum(key == "A" for task, _, key in planned if task in AIOPS)
    # CoE sends each task to the one that knows it, and what is unknown to the best on average: it knows 8 tasks of 13.
    missed = sum(task in AIOPS and number % 10 == 7 and key != "A" for task, number, key in planned)
    right = {"coe": ALL - missed, "series": series, "cycle": cycle}
    assert {name: system["correct"] for name, system in summary["systems"].items()} == right
    for name, system in summary["systems"].items():
        assert system["accuracy"] == right[name] / ALL
        assert {task: figures["total"] for task, figures in system["per_task"].items()} == Counter(
            task for task, _, _ in planned
        )
    classifier = summary["classifier"]
    assert (classifier["total"], classifier["accuracy"]) == (ALL, (ALL - unknown) / ALL)
    assert sum(row[-1] for row in classifier["confusion"]["matrix"]) == unknown
