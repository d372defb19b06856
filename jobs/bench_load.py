"""How much of the ideal a bench reaches, and how its memory grows: on a Ray of its own, against a fixed latency.

    python -m jobs.bench_load rate            2,000 questions, 64 and 256 calls at once, 200 ms each; then 5 % of 503s
    python -m jobs.bench_load memory          5,000 and 50,000 questions to a scripted model

The ideal is questions × latency ÷ calls at once, from the first call to the last answer as the upstream saw them.
Memory is the greatest sum over the driver and Ray's workers (proportional set size), without Ray's own servers.
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

from coe_ray.core.command_line import make_parser, run_command
from coe_ray.core.run_folder import RunFolder
from jobs.local import local_ray

TASK, CATEGORY = "Log Parser", "LogParser"
SAMPLE_S = 0.25
WARM_UP = 500
"""Questions of a run before the first that is measured: what Ray and we start once is there for both."""


def main() -> int:
    return run_command("bench_load", _measured, _asked())


def _measured(asked: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="coe_ray-load-") as folder, local_ray():
        if asked.what == "rate":
            for at_once, failing in [*((each, 0.0) for each in asked.at_once), (asked.at_once[0], asked.failing)]:
                _rate(Path(folder), asked.questions, asked.latency, at_once, failing)
        else:
            _memory(Path(folder), WARM_UP)
            for questions in asked.sizes:
                print(f"{questions} questions: {_memory(Path(folder), questions) / 2**20:.0f} MiB at most", flush=True)
    return 0


def _asked() -> argparse.Namespace:
    made = make_parser(__doc__)
    what = made.add_subparsers(dest="what", required=True)
    rate = what.add_parser("rate", help="calls made, as a part of the ideal")
    rate.add_argument("--questions", type=int, default=2000)
    rate.add_argument("--latency", type=float, default=0.2, metavar="S")
    rate.add_argument("--at-once", type=int, nargs="+", default=[64, 256], metavar="N")
    rate.add_argument("--failing", type=float, default=0.05, metavar="SHARE", help="for one more run at the first N")
    memory = what.add_parser("memory", help="greatest memory of driver and workers")
    memory.add_argument("--sizes", type=int, nargs="+", default=[5_000, 50_000], metavar="QUESTIONS")
    return made.parse_args()


def _rate(folder: Path, questions: int, latency_s: float, at_once: int, failing: float) -> None:
    out = folder / f"rate-{at_once}-{failing:g}"
    with _upstream(latency_s, failing) as port:
        api = {"kind": "api", "base_url": f"http://127.0.0.1:{port}/v1", "model": "fixed", "max_concurrency": at_once}
        _bench(_profile(folder, {"measured": api}), _questions(folder, questions), out)
        served = _json(f"http://127.0.0.1:{port}/stats")
    ideal = questions * latency_s / at_once
    calls = RunFolder(out).read_summary()["calls"]
    print(
        f"{at_once} at once, {failing:.0%} failing: {100 * ideal / served['seconds']:.0f} % of the ideal "
        f"({questions} questions in {served['seconds']:.2f} s, ideal {ideal:.2f} s; {served['calls']} requests served, "
        f"{served['failed']} of them 503; peak {served['peak']}; journal: {calls['completed']} calls completed, "
        f"{calls['retried']} tries more)",
        flush=True,
    )


def _memory(folder: Path, questions: int) -> int:
    """Bytes at most."""
    rules = [{"pattern": ".", "reply": "the answer is (A)"}]
    profile = _profile(folder, {"measured": {"kind": "scripted", "rules": rules}})
    with _greatest_memory() as peak:
        _bench(profile, _questions(folder, questions), folder / f"memory-{questions}")
    return peak[0]


def _profile(folder: Path, models: dict[str, Any]) -> Path:
    """One expert behind the given model, and a classifier that costs nothing."""
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


def _questions(folder: Path, count: int) -> Path:
    """A benchmark of `count` questions that differ."""
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


def _bench(profile: Path, data: Path, out: Path) -> None:
    command = [sys.executable, "-m", "jobs.bench", "--profile", str(profile), "--data", str(data), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


@contextmanager
def _upstream(latency_s: float, failing: float) -> Iterator[int]:
    command = [sys.executable, "-m", "jobs.upstream", "--latency", str(latency_s), "--failing", str(failing)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield int(server.stdout.readline() if server.stdout else 0)
        finally:
            server.kill()


def _json(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=30) as reply:
        content: dict[str, Any] = json.load(reply)
    return content


@contextmanager
def _greatest_memory() -> Iterator[list[int]]:
    """A list of one number, in bytes, that is final when the block ends."""
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
    wanted = (b"jobs.bench", b"ray::")
    found = [each for each in Path("/proc").iterdir() if each.name.isdigit()]
    return [each for each in found if any(name in _title(each) for name in wanted) and os.getpid() in _ancestors(each)]


def _ancestors(process: Path) -> Iterator[int]:
    with suppress(OSError):  # it may end at any time
        while (parent := _parent(process)) > 1:
            yield parent
            process = Path("/proc", str(parent))


def _parent(process: Path) -> int:
    # The name of the process stands in brackets and may hold anything.
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
    sys.exit(main())
