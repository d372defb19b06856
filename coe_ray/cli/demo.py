"""From nothing to an answered question and a finished benchmark report, on this machine.

    coe-ray demo

A second demo resumes the first one's benchmark, in `runs/demo-…` below the working folder.

Exit codes: 0 all of it worked, 1 the benchmark has failed calls, 2 a step could not be done.
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
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from coe_ray.core.types import Question
    from coe_ray.profile.profile import Profile

PROFILE = "local-cpu"
PER_TASK = 3
HOST, PORT = "127.0.0.1", 8000
URL = f"http://{HOST}:{PORT}/v1"
QUESTIONS = (("Time Series Classification", "english"), ("Release", "english"), ("Monitor", "chinese"))
"""Task and language of the three questions."""
Result = TypeVar("Result")


def add_arguments(_: argparse.ArgumentParser) -> None:
    """The demo has no options."""


def run(_: argparse.Namespace) -> int:
    from coe_ray.cli.local_ray import local_ray, prepare_environment, require_free_ports

    started = time.monotonic()
    prepare_environment()
    require_free_ports(HOST, PORT)
    from coe_ray.bench.indexing import ensure_profile_index
    from coe_ray.profile.profile import load_profile

    profile = load_profile(PROFILE)
    folder = _run_folder(profile)
    _print_step(1, "weights, checked against their published SHA-256")
    for path in _in_process(_fetch_all_weights, profile):
        print(f"      {path}", flush=True)
    _print_step(2, f"retrieval index in {profile.index_folder}")
    _in_process(ensure_profile_index, profile)
    _print_step(3, "a local Ray")
    with local_ray():
        _print_step(4, f"serving profile {PROFILE}; vLLM takes about a minute to start")
        _in_process(_deploy)
        _print_step(5, f"three questions to {URL}")
        for task, language in QUESTIONS:
            _ask(_find_question(task, language))
        _print_step(6, f"benchmark of every expert and of CoE as a Ray job, {PER_TASK} questions a task")
        code = _bench(folder)
    if code == 0:
        _print_result(folder, time.monotonic() - started)
    return code


def _in_process(function: Callable[..., Result], *args: object) -> Result:
    """The function's result from a process that ends with it: torch and vLLM keep a gigabyte once imported."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *args).result()


def _print_step(number: int, title: str) -> None:
    print(f"[{number}/6] {time.strftime('%H:%M:%S')} {title}", flush=True)


def _run_folder(profile: "Profile") -> Path:
    """The demo's run folder: another one when the profile has changed, as that is another run."""
    settings = hashlib.sha256(profile.model_dump_json(exclude={"folder"}).encode()).hexdigest()
    return Path("runs", f"demo-{settings[:8]}").absolute()


def _fetch_all_weights(profile: "Profile") -> list[str]:
    from coe_ray.llm.weights import fetch_weights, locate_weights
    from coe_ray.profile.models import VllmModel

    hosted = [model.weights for model in profile.models.values() if isinstance(model, VllmModel)]
    return [fetch_weights(profile.retrieval.encoder), *map(locate_weights, hosted)]


def _deploy() -> None:
    from coe_ray.cli.local_ray import ADDRESS
    from coe_ray.cli.ray_driver import connect
    from coe_ray.cli.serve import deploy_endpoint

    connect(ADDRESS)
    deploy_endpoint(PROFILE, HOST, PORT)


def _find_question(task: str, language: str) -> "Question":
    """The first of the sample's test questions of this task and language."""
    from coe_ray.bench.datasets.load import load_benchmark

    questions = load_benchmark("sample").questions
    return next(question for question in questions if question.task == task and question.language == language)


def _ask(question: "Question") -> None:
    """Ask the endpoint as any OpenAI client would, and print the answer with its route."""
    messages = [{"role": "user", "content": question.full_text}]
    response = _post("/chat/completions", {"model": "coe", "messages": messages})
    route, answer = response["coe"], response["choices"][0]["message"]["content"]
    print(_indent(question.full_text))
    print(f"      → task {route['task']} (confidence {route['confidence']:.2f}) → {route['expert']}: {route['reason']}")
    print(f"      → {answer.strip()}   [right: {question.answer}]\n", flush=True)


def _post(path: str, payload: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(URL + path, json.dumps(payload).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as response:
        content: dict[str, Any] = json.load(response)
    return content


def _indent(text: str) -> str:
    return "\n".join(f"      {line[:110]}{'…' if len(line) > 110 else ''}" for line in text.splitlines())


def _bench(folder: Path) -> int:
    """Submit the benchmark as anyone would on a cluster; returns its exit code."""
    from coe_ray.cli.local_ray import DASHBOARD, script

    bench = ["coe-ray", "bench", "--profile", PROFILE, "--data", "sample", "--per-task", str(PER_TASK)]
    submit = ["job", "submit", "--address", DASHBOARD, "--", *bench, "--out", str(folder)]
    print(f"      {' '.join(['ray', *submit])}", flush=True)
    job = subprocess.Popen([script("ray"), *submit], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    other_lines = []
    for line in job.stdout or ():
        # Ray's client prints before and after the job's own lines; that matters only where something fails.
        if line.startswith("bench:"):
            print(f"      {line.rstrip()}", flush=True)
        else:
            other_lines.append(line)
    if code := job.wait():
        print("".join(other_lines), file=sys.stderr)
    return code


def _print_result(folder: Path, seconds: float) -> None:
    from coe_ray.bench.report import render_table
    from coe_ray.core.run_folder import RunFolder

    print("\n" + render_table(RunFolder(folder).read_summary()))
    print(f"done in {seconds / 60:.1f} minutes. Report: {folder / 'report.html'}")
    print("Next: `coe-ray serve` keeps the endpoint up; `coe-ray init FOLDER` starts a profile of your own.")
