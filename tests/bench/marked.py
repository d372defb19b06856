"""Benchmarks whose questions carry marks: what is right, and what an endpoint shall do with them."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import profiles
from tests.support.profiles import rule

TASKS = {"Log Parser": "LogParser", "Root Cause Analysis": "RootCauseAnalysis"}
LETTERS = "ABCD"
SORTER = profiles.scripted(rule(r"sort=([\w ]+);", r"**Task: [\1]**"))

_MARK = re.compile(r"Case (\d+)\. right=([A-D]); play=([\w ]*);")


@dataclass(frozen=True, slots=True)
class Mark:
    """A question's number, its right letter, and what is to be played to it."""

    number: int
    right: str
    play: str


def mark_in(prompt: str) -> Mark:
    found = _MARK.search(prompt)
    assert found, prompt
    return Mark(int(found[1]), found[2], found[3])


def write_marked(root: Path, plays: Sequence[str]) -> Path:
    """A test split with one question for each of `plays`, numbered from 1, spread over the tasks."""
    for offset, (task, name) in enumerate(TASKS.items()):
        numbers = range(offset + 1, len(plays) + 1, len(TASKS))
        _write(root / "english" / "test" / f"{name}.csv", [_row(n, plays[n - 1], task) for n in numbers])
    return root


def right(number: int) -> str:
    return LETTERS[number % len(LETTERS)]


def write_profile(
    path: Path, models: Mapping[str, Mapping[str, Any]], experts: Mapping[str, Mapping[str, Any]] | None = None
) -> Path:
    """A profile whose classifier is scripted and retrieves nothing; without `experts` each model is one.

    Served, it asks for no key.
    """
    content = {
        "tasks": ["devops-eval-a"],
        "models": {"sorter": SORTER, **models},
        "experts": experts or {name: {"model": name} for name in models},
        "classifier": {"model": "sorter", "k": 0},
        "retrieval": {"encoder": profiles.NO_ENCODER},
        "access": {"keys": False},
    }
    return profiles.write_profile(path, content)


def _row(number: int, play: str, task: str) -> list[str]:
    options = [f"choice {letter} of {number}" for letter in "wxyz"]
    return [str(number), f"Case {number}. right={right(number)}; play={play}; sort={task};", *options, right(number)]


def _write(path: Path, rows: Sequence[Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id", "question", *"ABCD", "answer"], *rows])
