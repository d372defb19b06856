"""A small benchmark, a profile for it, and the plan of their study."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from coe_ray.paper.study_plan import StudyPlan, StudyRequest, plan_study
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


def write_profile(folder: Path, **changes: Any) -> Path:
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({**copy.deepcopy(CONTENT), **changes}, sort_keys=False), encoding="utf-8")
    return path


def write_benchmark(folder: Path, test: Mapping[str, int] = TEST, dev: Mapping[str, int] = DEV) -> Path:
    for split, sizes in (("test", test), ("dev", dev)):
        for name, size in sizes.items():
            rows = [row(f"{split} case {n} of {name}?", n, "ABCD"[n % 4]) for n in range(size)]
            write_csv(folder / "data" / "english" / split / f"{name}.csv", rows)
    return folder / "data"


def make_request(folder: Path, profile: Path, data: Path, **changes: Any) -> StudyRequest:
    return StudyRequest((str(profile),), str(data), folder / "out", **changes)


def make_plan(folder: Path, request: Mapping[str, Any] | None = None, **changes: Any) -> StudyPlan:
    """The plan of the small profile with `changes`."""
    profile = write_profile(folder, **changes)
    return plan_study(
        make_request(folder, profile, write_benchmark(folder), **request or {}), str(profile), folder / "run"
    )
