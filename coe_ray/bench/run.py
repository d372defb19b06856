"""A bench run: questions/ → Ray Data → rows/ (checkpointed) → answers/, summary.json, report.html.

The same call on the same folder goes on where it stopped: questions that stand in rows/ are not asked again.
"""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
import ray
from ray import serve
from ray.data import ActorPoolStrategy, DataContext
from ray.data.checkpoint import CheckpointConfig

from coe_ray.bench.datasets import Benchmark, Split, load_benchmark, stratified
from coe_ray.bench.examiner import Assignment, Examiner
from coe_ray.bench.index import ensure_profile_index, known_examples
from coe_ray.bench.progress import report_progress
from coe_ray.bench.rejects import write_rejected
from coe_ray.bench.report import render_report
from coe_ray.bench.scoring import board_of, coe_rows, cross_fitted, expert_rows, figures
from coe_ray.cluster import APPLICATION, hosted_model_names, is_serving
from coe_ray.config import Profile, TaskConfig, load_profile
from coe_ray.errors import DataError
from coe_ray.leaderboard import Leaderboard
from coe_ray.models import local_models
from coe_ray.pipeline import load_leaderboard
from coe_ray.runs import QUESTIONS_PER_FILE, RunFolder, read_questions, write_whole
from coe_ray.types import Question
from coe_ray.weights import locate

BLOCKS_AT_ONCE = 2
"""Two, so that the last slow answers of one block do not keep the next one waiting."""

Say = Callable[[str], None]
Deploy = Callable[[str], None]
"""Deploys a profile's hosted models; given by the job, as serving is not the bench's to import."""


@dataclass(frozen=True, slots=True)
class BenchOrder:
    """What to measure: `per_task` draws that many questions of each task (seeded), `None` takes all."""

    profile: str
    data: str
    out: Path
    split: Split = "test"
    per_task: int | None = None
    seed: int = 0


def run_bench(order: BenchOrder, say: Say, deploy: Deploy) -> dict[str, Any]:
    """Run, or go on with, a bench; returns the summary that it also writes. Raises `CoeError`.

    Needs a running Ray. `summary["incomplete"]` says whether calls failed; the same call asks those again.
    """
    started = time.monotonic()
    benchmark = load_benchmark(order.data, split=order.split)
    profile = fitted(load_profile(order.profile), benchmark, say)
    questions = benchmark.questions
    if order.per_task is not None:
        questions = stratified(questions, order.per_task, order.seed)
    folder = RunFolder(order.out)
    assignment = _assignment(profile, benchmark, folder)
    folder.begin(_identity(order, profile, questions), questions)
    write_rejected(order.out / "rejected.parquet", benchmark.rejected)
    say(f"{len(questions)} questions of {len(benchmark.tasks)} tasks; {len(benchmark.rejected)} rows rejected")
    _examine(order.profile, assignment, folder, len(questions), say, deploy)
    return _finish(order, profile, folder, len(benchmark.rejected), time.monotonic() - started)


def fitted(profile: Profile, benchmark: Benchmark, say: Say) -> Profile:
    """The profile, with the benchmark's tasks where it lacks some of them."""
    if {task.name for task in benchmark.tasks} <= {task.name for task in profile.task_list}:
        return profile
    say(f"profile {profile.name!r} has other tasks than {benchmark.name}; classifying over the benchmark's own")
    tasks = tuple(TaskConfig(name=task.name, description=task.description) for task in benchmark.tasks)
    return profile.model_copy(update={"tasks": tasks})


def _identity(order: BenchOrder, profile: Profile, questions: tuple[Question, ...]) -> dict[str, Any]:
    ids = hashlib.sha256("".join(question.id for question in questions).encode()).hexdigest()
    settings = profile.model_dump(mode="json", exclude={"folder"})
    return {
        "profile": order.profile,
        "settings": hashlib.sha256(orjson.dumps(settings, option=orjson.OPT_SORT_KEYS)).hexdigest(),
        "data": order.data,
        "split": order.split,
        "questions": ids,
    }


def _examine(reference: str, assignment: Assignment, folder: RunFolder, total: int, say: Say, deploy: Deploy) -> None:
    """Ask what is not yet answered."""
    done = folder.finished()
    if done == total:
        say("every question is answered already; nothing is asked")
        return
    with _serving(reference, assignment.profile, say, deploy):
        if done:
            say(f"going on after {done} of {total} questions")
        with report_progress(done, total, say) as progress:
            _stream(assignment, folder, progress)


def _assignment(profile: Profile, benchmark: Benchmark, folder: RunFolder) -> Assignment:
    """What is to be done, with an index of the benchmark's own: the endpoint's may hold another's questions.

    Raises `CoeError` for all that an examiner could not start with: before there is a folder, and in one line.
    """
    local_models(profile)
    examples = known_examples(profile, benchmark.examples)
    index = folder.root / "index" if examples else profile.index_folder
    if profile.classifier.k:
        locate(profile.retrieval.encoder)
    if profile.classifier.k and not examples and not index.is_dir():
        raise DataError(f"{index}: no retrieval index there, and {benchmark.name} has no examples; use jobs/index.py")
    return Assignment(profile, index, examples, folder.failures)


@contextmanager
def _serving(reference: str, profile: Profile, say: Say, deploy: Deploy) -> Iterator[None]:
    """The profile's hosted models, deployed for this run only where they are not yet serving."""
    names = hosted_model_names(profile)
    if not names or is_serving(profile):
        yield
        return
    say(f"deploying {', '.join(names)}: not serving yet")
    ensure_profile_index(load_profile(reference))
    deploy(reference)
    try:
        yield
    finally:
        say("stopping what was deployed for this run")
        serve.delete(APPLICATION)


def _stream(assignment: Assignment, folder: RunFolder, progress: Any) -> None:
    context = DataContext.get_current()
    context.enable_progress_bars = False
    # The second kind of reader puts small files together, and what is written together is lost together in a crash.
    context.use_datasource_v2 = False
    context.checkpoint_config = CheckpointConfig(
        id_column="id",
        checkpoint_path=str(folder.checkpoint),
        delete_checkpoint_on_success=False,
    )
    try:
        files = len(list(folder.questions.glob("*.parquet")))
        questions = ray.data.read_parquet(str(folder.questions), override_num_blocks=files, concurrency=1)
        records = questions.map_batches(
            Examiner,
            fn_constructor_args=(assignment, progress),
            batch_size=QUESTIONS_PER_FILE,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=1, max_concurrent_calls_per_actor=BLOCKS_AT_ONCE),
            num_cpus=0.5,
        )
        records.write_parquet(str(folder.rows), concurrency=1)
    finally:
        context.checkpoint_config = None


def _finish(order: BenchOrder, profile: Profile, folder: RunFolder, rejected: int, seconds: float) -> dict[str, Any]:
    questions = {question.id: question for question in read_questions(folder.questions)}
    records = [record for id_, record in sorted(folder.records().items()) if id_ in questions]
    experts = expert_rows(questions, records)
    boards, leaderboard = _mapping(profile, questions, experts)
    rows = experts + coe_rows(questions, records, boards)
    folder.write_answers(rows)
    summary = {
        **figures(rows, records, questions),
        "rejected": rejected,
        "seconds": round(seconds, 1),
        "profile": profile.name,
        "data": order.data,
        "split": order.split,
        "leaderboard": leaderboard,
        "version": version("coe_ray"),
        "commit": commit(),
        "command": " ".join(sys.argv),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_whole(folder.root / "summary.json", orjson.dumps(summary, option=orjson.OPT_INDENT_2))
    write_whole(folder.root / "report.html", render_report(summary).encode())
    return summary


def _mapping(
    profile: Profile, questions: dict[str, Question], experts: list[dict[str, Any]]
) -> tuple[dict[str, Leaderboard], dict[str, str]]:
    """The leaderboard that routes each question, and what to say of it."""
    board = load_leaderboard(profile)
    tasks = {question.task for question in questions.values()}
    if board is not None and tasks <= set(board.tasks) and set(profile.experts) <= set(board.experts):
        own = board.narrowed(profile.experts)
        note = f"the profile's, made of {board.provenance.data} {board.provenance.split}".strip()
        return dict.fromkeys(questions, own), {"version": own.version, "mapping": "profile", "note": note}
    boards = cross_fitted(experts)
    if not boards:
        return boards, {"version": "none", "mapping": "cross-fitted", "note": "no expert has answered anything yet"}
    note = "the profile has no leaderboard for these tasks: each question is routed by the other folds' answers"
    return boards, {"version": board_of(experts).version, "mapping": "cross-fitted", "note": note}


def commit() -> str | None:
    """The commit that runs: of the environment in a job, whose working folder is a copy without git."""
    if stated := os.environ.get("COE_RAY_COMMIT"):
        return stated
    git = ["git", "rev-parse", "--short", "HEAD"]
    asked = subprocess.run(git, capture_output=True, text=True, check=False)  # noqa: S603  # a constant command
    return asked.stdout.strip() or None
