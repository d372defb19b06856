"""Measure how much of the ideal rate a bench reaches and how its memory grows, on a Ray of its own.

    coe-ray bench-load rate            2,000 questions, 64 and 256 calls at once, 200 ms each; then 5 % of 503s
    coe-ray bench-load memory          5,000 and 50,000 questions to a scripted model

The ideal is questions × latency ÷ calls at once, from the first call to the last answer as the upstream saw them.
Memory is the greatest sum over the driver and Ray's workers (proportional set size), without Ray's own servers.

Exit codes: 0 measured, 2 could not run.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from coe_ray.cli.main import main
from coe_ray.core.errors import DataError

TASK, CATEGORY = "Log Parser", "LogParser"
SAMPLE_S = 0.25
WARM_UP = 500
"""Questions of a run before the first measured one: what Ray and coe_ray start once is then there for both sizes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    measures = parser.add_subparsers(dest="measure", metavar="MEASURE", required=True)
    rate = measures.add_parser("rate", help="calls made, as a part of the ideal")
    rate.add_argument("--questions", type=int, default=2000)
    rate.add_argument("--latency", type=float, default=0.2, metavar="S")
    rate.add_argument("--at-once", type=int, nargs="+", default=[64, 256], metavar="N")
    rate.add_argument("--failing", type=float, default=0.05, metavar="SHARE", help="for one more run at the first N")
    memory = measures.add_parser("memory", help="greatest memory of driver and workers")
    memory.add_argument("--sizes", type=int, nargs="+", default=[5_000, 50_000], metavar="QUESTIONS")


def run(args: argparse.Namespace) -> int:
    from coe_ray.cli.local_ray import local_ray, prepare_environment, require_ray_ports

    prepare_environment()
    require_ray_ports()
    with tempfile.TemporaryDirectory(prefix="coe_ray-load-") as folder, local_ray():
        if args.measure == "rate":
            for at_once, failing in [*((count, 0.0) for count in args.at_once), (args.at_once[0], args.failing)]:
                _measure_rate(Path(folder), args.questions, args.latency, at_once, failing)
        else:
            _measure_memory(Path(folder), WARM_UP)
            for questions in args.sizes:
                peak = _measure_memory(Path(folder), questions)
                print(f"{questions} questions: {peak / 2**20:.0f} MiB at most", flush=True)
    return 0


def _measure_rate(folder: Path, questions: int, latency_s: float, at_once: int, failing: float) -> None:
    from coe_ray.core.run_folder import RunFolder

    out = folder / f"rate-{at_once}-{failing:g}"
    with _start_upstream(latency_s, failing) as port:
        api = {"kind": "api", "base_url": f"http://127.0.0.1:{port}/v1", "model": "fixed", "max_concurrency": at_once}
        _run_bench(_write_profile(folder, {"measured": api}), _write_questions(folder, questions), out)
        served = _fetch_json(f"http://127.0.0.1:{port}/stats")
    ideal = questions * latency_s / at_once
    calls = RunFolder(out).read_summary()["calls"]
    print(
        f"{at_once} at once, {failing:.0%} failing: {100 * ideal / served['seconds']:.0f} % of the ideal "
        f"({questions} questions in {served['seconds']:.2f} s, ideal {ideal:.2f} s; {served['calls']} requests served, "
        f"{served['failed']} of them 503; peak {served['peak']}; journal: {calls['completed']} calls completed, "
        f"{calls['retried']} tries more)",
        flush=True,
    )


def _measure_memory(folder: Path, questions: int) -> int:
    """Greatest memory of a bench with so many questions, in bytes."""
    rules = [{"pattern": ".", "reply": "the answer is (A)"}]
    profile = _write_profile(folder, {"measured": {"kind": "scripted", "rules": rules}})
    with _sample_memory() as peak:
        _run_bench(profile, _write_questions(folder, questions), folder / f"memory-{questions}")
    return peak[0]


def _write_profile(folder: Path, models: dict[str, Any]) -> Path:
    """Write a profile of one expert with the given model, and a classifier that costs nothing."""
    sorter = {"kind": "scripted", "rules": [{"pattern": ".", "reply": f"**Task: [{TASK}]**"}]}
    profile = {
        "tasks": ["devops-eval-a"],
        "models": {**models, "sorter": sorter},
        "experts": {name: {"model": name} for name in models},
        "classifier": {"model": "sorter", "k": 0},
        "retrieval": {"encoder": {"hub": "sentence-transformers/all-MiniLM-L6-v2"}},
    }
    path = folder / "load.yaml"
    path.write_text(json.dumps(profile), "utf-8")  # JSON is YAML
    return path


def _write_questions(folder: Path, count: int) -> Path:
    """Write a benchmark of `count` questions that differ."""
    path = folder / f"questions-{count}" / "english" / "test" / f"{CATEGORY}.csv"
    if not path.exists():
        path.parent.mkdir(parents=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "question", *"ABCD", "answer"])
            writer.writerows(_row(number) for number in range(count))
    return folder / f"questions-{count}"


def _row(number: int) -> list[str]:
    """About as long as a question of DevOps-Eval."""
    text = f"Case {number}: after a deployment the service writes the lines below. " + "Which template fits? " * 10
    return [
        str(number),
        text,
        *(f"template {letter} for case {number}, with a few more words" for letter in "ABCD"),
        "A",
    ]


def _run_bench(profile: Path, data: Path, out: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "coe_ray.cli.main",
        "bench",
        "--profile",
        str(profile),
        "--data",
        str(data),
        "--out",
        str(out),
    ]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        raise DataError(f"{' '.join(command)} ended with {process.returncode}:\n{process.stdout}{process.stderr}")


@contextmanager
def _start_upstream(latency_s: float, failing: float) -> Iterator[int]:
    command = [sys.executable, "-m", "jobs.upstream", "--latency", str(latency_s), "--failing", str(failing)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield int(server.stdout.readline() if server.stdout else 0)
        finally:
            server.kill()


def _fetch_json(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=30) as response:
        content: dict[str, Any] = json.load(response)
    return content


@contextmanager
def _sample_memory() -> Iterator[list[int]]:
    """Sample the memory while the block runs; yields a list of one number, the greatest in bytes."""
    peak, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.wait(SAMPLE_S):
            peak[0] = max(peak[0], sum(map(_size, _processes())))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        stop.set()
        watcher.join()


def _processes() -> list[Path]:
    """The driver of the bench and the workers of our own Ray."""
    titles = (b"coe_ray.cli.main", b"ray::")
    processes = [path for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [
        process
        for process in processes
        if any(title in _title(process) for title in titles) and os.getpid() in _ancestors(process)
    ]


def _ancestors(process: Path) -> Iterator[int]:
    with suppress(OSError):  # it may end at any time
        while (parent := _parent(process)) > 1:
            yield parent
            process = Path("/proc", str(parent))


def _parent(process: Path) -> int:
    # The name of the process is in brackets and may hold anything.
    return int((process / "stat").read_text().rpartition(")")[2].split()[1])


def _title(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:  # it has ended
        return b""


def _size(process: Path) -> int:
    try:
        lines = (process / "smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


if __name__ == "__main__":
    sys.exit(main(["bench-load", *sys.argv[1:]]))
