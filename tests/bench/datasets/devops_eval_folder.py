"""A folder in DevOps-Eval's exact layout and sizes, with questions that a script can sort and answer.

Every question holds `[<task>#<n>]`, the task it belongs to and a number that occurs once in that task, and
`key=<letter>`, its right letter. The same call always writes the same bytes.
"""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from coe_ray.profile.tasks import DEVOPS_EVAL_A

LETTERS = "ABCD"
HEADER = ("id", "question", *LETTERS, "answer")
AIOPS = {task.name.replace(" ", ""): task.name for task in DEVOPS_EVAL_A}
WORDS = {
    "english": (
        "Which step comes first in case",
        "restart worker",
        "drain node",
        "roll back to",
        "page team",
    ),
    "chinese": ("下面这种情况首先应该做什么，情况", "重启进程", "排空节点", "回滚到版本", "通知小组"),
}
EXPLANATION = {"english": "The key names it.", "chinese": "题干中的标记已经给出。"}


def write_folder(root: Path, *, scale: float = 1.0) -> Path:
    """Write `<root>/<language>/<dev|test>/<Category>.csv`; `scale` shrinks the test files (to one row)."""
    numbers: Counter[tuple[str, str]] = Counter()
    for split in ("test", "dev"):
        for language, category, task, size in _files(split, scale if split == "test" else 1.0):
            path = root / language / split / f"{category}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            first = numbers[language, task]
            numbers[language, task] += size
            rows = [_row(language, task, place, first + place) for place in range(size)]
            _write(path, rows, EXPLANATION[language] if split == "dev" else None)
    return root


def _files(split: str, scale: float) -> Iterator[tuple[str, str, str, int]]:
    text = resources.files("coe_ray.data").joinpath("devops_eval_categories.json").read_text("utf-8")
    for category, entry in json.loads(text).items():
        size = max(1, round(entry[split] * scale))
        yield "chinese", category, entry["phase"], size
        if category in AIOPS:
            yield "english", category, AIOPS[category], size


def _row(language: str, task: str, place: int, number: int) -> list[str]:
    answer = LETTERS[hashlib.sha256(f"{language} {task} {number}".encode()).digest()[0] % len(LETTERS)]
    lead, *steps = WORDS[language]
    options = [f"{step} {number * len(LETTERS) + shift}" for shift, step in enumerate(steps)]
    return [str(place), f"{lead} [{task}#{number}] key={answer}?", *options, answer]


def _write(path: Path, rows: list[list[str]], explanation: str | None) -> None:
    extra = [] if explanation is None else [explanation]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*HEADER, "explanation"] if extra else HEADER)
        writer.writerows([*row, *extra] for row in rows)
