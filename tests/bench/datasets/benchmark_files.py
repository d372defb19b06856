"""Benchmark files made in tests: rows of DevOps-Eval's CSV, entries of OpsEval's JSON, and what was rejected."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coe_ray.bench.datasets.load import Benchmark

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
"""Rows of each task, as in Table I of the paper."""

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
