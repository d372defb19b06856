"""A small benchmark and profiles for it, and what a study of them would ask."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from coe_ray.paper.plan_calls import StudyPlan, StudyRequest, plan_calls
from tests.bench.world import row, write_csv

TASKS = {"LogParser": "Log Parser", "RootCauseAnalysis": "Root Cause Analysis", "UnitTesting": "Test"}
TEST = {"LogParser": 6, "RootCauseAnalysis": 4, "UnitTesting": 3}
DEV = dict.fromkeys(TEST, 3)

CONTENT: dict[str, Any] = {
    "tasks": ["devops-eval-a"],
    "models": {
        "sorter": {"kind": "scripted", "rules": [{"pattern": ".", "reply": "unknown"}]},
        "hosted": {"kind": "vllm", "weights": {"hub": "a/b"}},
        "remote": {"kind": "api", "base_url": "http://h/v1", "model": "m", "price": {"input": 2.0, "output": 10.0}},
        "counter": {"kind": "python", "target": "coe_ray.experts.timeseries:TimeSeriesExpert"},
    },
    "experts": {
        "alpha": {"model": "hosted", "settings": {"temperature": 0.0, "max_tokens": 512}},
        "beta": {"model": "remote", "prompt": "direct", "constrained": True, "settings": {"max_tokens": 16}},
        "gamma": {"model": "counter", "prompt": "direct"},
    },
    "classifier": {"model": "sorter", "k": 2, "decoding": "free", "settings": {"max_tokens": 32}},
    "retrieval": {"encoder": {"hub": "nobody/encoder"}},
}


def profile_at(folder: Path, **changes: Any) -> Path:
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({**copy.deepcopy(CONTENT), **changes}, sort_keys=False), encoding="utf-8")
    return path


def data_at(folder: Path, test: Mapping[str, int] = TEST, dev: Mapping[str, int] = DEV) -> Path:
    for split, sizes in (("test", test), ("dev", dev)):
        for name, size in sizes.items():
            rows = [row(f"{split} case {n} of {name}?", n, "ABCD"[n % 4]) for n in range(size)]
            write_csv(folder / "data" / "english" / split / f"{name}.csv", rows)
    return folder / "data"


def order_of(folder: Path, profile: Path, data: Path, **changes: Any) -> StudyRequest:
    return StudyRequest((str(profile),), str(data), folder / "out", **changes)


def asked_for(folder: Path, order: Mapping[str, Any] | None = None, **changes: Any) -> StudyPlan:
    """What is asked for the small profile with `changes`."""
    profile = profile_at(folder, **changes)
    return plan_calls(order_of(folder, profile, data_at(folder), **order or {}), str(profile), folder / "run")
