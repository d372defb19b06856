"""A small benchmark whose every answer is written into its questions, and a profile that gives those answers."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.job import Bench
from tests.bench.upstream import Upstream
from tests.support import profiles
from tests.support.profiles import rule

LOGS, CAUSES, TEST = "Log Parser", "Root Cause Analysis", "Test"
FILES = {LOGS: "LogParser", CAUSES: "RootCauseAnalysis", TEST: "UnitTesting"}

# Task, right letter, what the classifier says, and what the experts say. gamma is behind HTTP (upstream.py).
WORLD = [
    (LOGS, "A", LOGS, "A", "B", "A flaky"),
    (LOGS, "A", LOGS, "A", "B", "B fragile"),
    (LOGS, "A", LOGS, "A", "A", "B"),
    (LOGS, "A", LOGS, "A", "B", "B"),
    (LOGS, "A", LOGS, "A", "B", "B"),
    (LOGS, "B", LOGS, "B", "A", "A"),
    (LOGS, "B", LOGS, "B", "A", "refused"),
    (LOGS, "B", LOGS, "B", "A", "A"),
    (LOGS, "B", CAUSES, "B", "none", "A"),
    (LOGS, "B", LOGS, "A", "A", "A"),
    (CAUSES, "A", CAUSES, "A", "A", "B fragile"),
    (CAUSES, "A", CAUSES, "A", "A", "B"),
    (CAUSES, "A", CAUSES, "B", "A", "B"),
    (CAUSES, "B", CAUSES, "B", "B", "A"),
    (CAUSES, "B", "unknown", "A", "B", "A"),
    (CAUSES, "B", CAUSES, "A", "A", "A"),
    (TEST, "A", TEST, "B", "B", "A fragile"),
    (TEST, "A", LOGS, "B", "B", "A"),
    (TEST, "B", TEST, "A", "A", "B"),
    (TEST, "B", TEST, "A", "none", "refused"),
]
ROUTED = ["alpha"] * 8 + ["beta"] + ["alpha"] + ["beta"] * 4 + ["alpha", "beta", "gamma", "alpha", "gamma", "gamma"]
"""Where CoE sends each of them: alpha is best at logs and on average, beta at causes, gamma at tests."""


def small_world(environment: Mapping[str, str], server: Upstream, root: Path) -> Bench:
    write_benchmark(root / "data", WORLD)
    return Bench(environment, write_profile(root, server), root / "data", root / "out")


def write_benchmark(root: Path, world: Sequence[tuple[str, ...]]) -> None:
    """A test split that says what is answered, one row too many of two kinds, and a few examples."""
    for task, name in FILES.items():
        table = [
            row(f"Case {n}. label={label}; alpha={alpha}; beta={beta}; gamma={gamma};", n, key)
            for n, (of_task, key, label, alpha, beta, gamma) in enumerate(world, 1)
            if of_task == task
        ]
        if task == LOGS:
            table += [table[0], row("Case 0 has two answers", 0, "A,C")]
        write_csv(root / "english" / "test" / f"{name}.csv", table)
        examples = [row(f"Which of these belongs to {task}, example {n}?", n, "A") for n in range(3)]
        write_csv(root / "english" / "dev" / f"{name}.csv", examples)


def row(text: str, number: int, answer: str) -> list[str]:
    return [str(number), text, *(f"choice {letter} of {number}" for letter in "wxyz"), answer]


def write_csv(path: Path, rows: Sequence[Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id", "question", *"ABCD", "answer"], *rows])


def write_profile(folder: Path, server: Upstream, **changes: Any) -> Path:
    price = {"input": 2.0, "output": 10.0}
    api = profiles.api(server.base_url, "gamma", attempts=2, price=price)
    profile = {
        "tasks": ["devops-eval-a", "devops-eval-b"],
        "models": {"sorter": sorter(), "first": scripted("alpha"), "second": scripted("beta"), "third": api},
        "experts": {"alpha": {"model": "first"}, "beta": {"model": "second"}, "gamma": {"model": "third"}},
        "classifier": {"model": "sorter", "k": 2},
        "retrieval": {"encoder": profiles.ENCODER},
        **changes,
    }
    return profiles.write_profile(folder / "world.yaml", profile)


def sorter() -> dict[str, Any]:
    # The last label counts: the question comes after its examples.
    named = rule(r".*label=([\w ]+);", r"**Task: [\1]**")
    return profiles.scripted(rule("label=outage", "down", fails=True), named)


def scripted(expert: str) -> dict[str, Any]:
    return profiles.scripted(
        rule(f"{expert}=([A-D]);", r"Let me think. The answer is (\1)."),
        rule(f"{expert}=none;", "I cannot tell."),
        rule(f"{expert}=outage;", "out of order", fails=True),
    )
