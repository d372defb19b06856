"""From nothing to an answered question and a finished benchmark report: what `make demo` runs after installing.

    python -m jobs.demo

A second demo goes on in the first one's folder.

Exit codes: 0 all of it worked, 1 the benchmark has failed calls, 2 could not be shown.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from coe_ray.bench.datasets.load import load_benchmark
from coe_ray.bench.indexing import ensure_profile_index
from coe_ray.bench.report import render_table
from coe_ray.core.command_line import make_parser, run_command
from coe_ray.core.run_folder import RunFolder
from coe_ray.core.types import Question
from coe_ray.llm.weights import fetch_weights, locate_weights
from coe_ray.profile.models import VllmModel
from coe_ray.profile.profile import Profile, load_profile
from jobs.local import DASHBOARD, local_ray, script
from jobs.serve import HOST, PORT, start

PROFILE = "local-cpu"
PER_TASK = 3
Result = TypeVar("Result")
ASKED = (("Time Series Classification", "english"), ("Release", "english"), ("Monitor", "chinese"))
"""Task and language of the three questions."""
URL = f"http://{HOST}:{PORT}/v1"


def main() -> int:
    return run_command("demo", _shown, make_parser(__doc__).parse_args())


def _shown(_: argparse.Namespace) -> int:
    begun = time.monotonic()
    profile = load_profile(PROFILE)
    run = _run_folder(profile)
    _step(1, "weights, checked against their published SHA-256")
    for folder in _apart(_weights, profile):
        print(f"      {folder}", flush=True)
    _step(2, f"retrieval index in {profile.index_folder}")
    _apart(ensure_profile_index, profile)
    _step(3, "a local Ray")
    with local_ray():
        _step(4, f"serving profile {PROFILE}; vLLM takes about a minute to start")
        _apart(start, PROFILE)
        _step(5, f"three questions to {URL}")
        for task, language in ASKED:
            _show(_question(task, language))
        _step(6, f"benchmark of every expert and of CoE as a Ray job, {PER_TASK} questions a task")
        code = _bench(run)
    if code == 0:
        _say_how_to_go_on(run, time.monotonic() - begun)
    return code


def _apart(function: Callable[..., Result], *arguments: object) -> Result:
    """The function's result from a process that ends with it: torch and vLLM keep a gigabyte once imported."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def _step(number: int, what: str) -> None:
    print(f"[{number}/6] {time.strftime('%H:%M:%S')} {what}", flush=True)


def _run_folder(profile: Profile) -> Path:
    """A second demo goes on in the first one's folder; one of a changed profile is another run."""
    settings = hashlib.sha256(profile.model_dump_json(exclude={"folder"}).encode()).hexdigest()
    return Path("runs", f"demo-{settings[:8]}").absolute()


def _weights(profile: Profile) -> list[str]:
    hosted = [model.weights for model in profile.models.values() if isinstance(model, VllmModel)]
    return [fetch_weights(profile.retrieval.encoder), *map(locate_weights, hosted)]


def _question(task: str, language: str) -> Question:
    """The first of the sample's test questions of its kind."""
    questions = load_benchmark("sample").questions
    return next(each for each in questions if each.task == task and each.language == language)


def _show(question: Question) -> None:
    """Ask the endpoint as any OpenAI client would, and print the answer with its route."""
    messages = [{"role": "user", "content": question.full_text}]
    reply = _post("/chat/completions", {"model": "coe", "messages": messages})
    route, answer = reply["coe"], reply["choices"][0]["message"]["content"]
    print(_indented(question.full_text))
    print(f"      → task {route['task']} (confidence {route['confidence']:.2f}) → {route['expert']}: {route['reason']}")
    print(f"      → {answer.strip()}   [right: {question.answer}]\n", flush=True)


def _post(path: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(URL + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as reply:
        content: dict[str, Any] = json.load(reply)
    return content


def _indented(text: str) -> str:
    return "\n".join(f"      {line[:110]}{'…' if len(line) > 110 else ''}" for line in text.splitlines())


def _bench(run: Path) -> int:
    """As anyone would on a cluster; the same command again would go on where this one stopped."""
    bench = ["python", "jobs/bench.py", "--profile", PROFILE, "--data", "sample", "--per-task", str(PER_TASK)]
    command = [
        script("ray"),
        "job",
        "submit",
        "--address",
        DASHBOARD,
        "--working-dir",
        ".",
        "--",
        *bench,
        "--out",
        str(run),
    ]
    print(f"      {' '.join(['ray', *command[1:]])}", flush=True)
    job = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    around = []
    for line in job.stdout or ():
        # Ray's client speaks before and after the job's own lines; it matters only where something fails.
        if line.startswith("bench:"):
            print(f"      {line.rstrip()}", flush=True)
        else:
            around.append(line)
    if code := job.wait():
        print("".join(around), file=sys.stderr)
    return code


def _say_how_to_go_on(run: Path, seconds: float) -> None:
    print("\n" + render_table(RunFolder(run).read_summary()))
    print(f"done in {seconds / 60:.1f} minutes. Report: {run / 'report.html'}")
    print("Go on with: make serve (the endpoint stays up); README.md (your own models, questions and cluster).")


if __name__ == "__main__":
    sys.exit(main())
