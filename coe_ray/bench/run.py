"""A bench run: questions/ → Ray Data → rows/ (checkpointed) → answers/, summary.json, report.html.

The same call on the same folder goes on where it stopped: questions that stand in rows/ are not looked at again,
and calls that stand in the journal are not made again.
"""

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from coe_ray.bench.billing import make_bill
from coe_ray.bench.collect import CollectionPlan, Deploy, Say, check_plan, collect_answers
from coe_ray.bench.datasets.load import Benchmark, Split, load_benchmark, sample_by_task
from coe_ray.bench.graceful_shutdown import GracefulShutdown
from coe_ray.bench.results import write_results
from coe_ray.bench.stream import plain_errors
from coe_ray.core.files import hold_lock
from coe_ray.core.run_folder import RunFolder
from coe_ray.core.types import Question, Task
from coe_ray.journal.audit import audit_calls
from coe_ray.profile.fingerprint import model_fingerprint
from coe_ray.profile.profile import Profile, TaskConfig, load_profile


@dataclass(frozen=True, slots=True)
class BenchRequest:
    """What to measure: `per_task` draws that many questions of each task (seeded), `None` takes all.

    `journal` is a folder; the run folder's own without it. `retry_failed` asks again what
    failed for good.
    """

    profile: str
    data: str
    out: Path
    split: Split = "test"
    per_task: int | None = None
    seed: int = 0
    journal: str | None = None
    retry_failed: bool = False


def run_bench(order: BenchRequest, say: Say, deploy: Deploy, leaving: GracefulShutdown | None = None) -> dict[str, Any]:
    """Run, or go on with, a bench; returns the summary that it also writes. Raises `CoeError`.

    Needs a running Ray. `summary["incomplete"]` says whether calls failed.
    """
    started = time.monotonic()
    profile = load_profile(order.profile).without_study
    benchmark = load_benchmark(order.data, split=order.split, tasks=profile.task_list)
    profile = adopt_tasks(profile, benchmark.tasks, say)
    questions = sample_questions(benchmark, order.per_task, order.seed)
    folder = RunFolder(order.out)
    sitting = CollectionPlan(order.profile, profile, benchmark, questions, folder, order.journal, order.retry_failed)
    check_plan(sitting)
    with plain_errors(folder), hold_lock(folder.lock):
        run = collect_answers(sitting, _identity(order, profile, questions), say, deploy, leaving or GracefulShutdown())
        facts = {
            "calls": make_bill(audit_calls(sitting.journal_place, run), profile),
            "rejected": len(benchmark.rejected),
            "seconds": round(time.monotonic() - started, 1),
            "data": order.data,
            "split": order.split,
        }
        return write_results(folder, profile, {question.id: question for question in questions}, facts)


def sample_questions(benchmark: Benchmark, per_task: int | None, seed: int) -> tuple[Question, ...]:
    """A benchmark's questions, or up to `per_task` of each task."""
    return benchmark.questions if per_task is None else sample_by_task(benchmark.questions, per_task, seed)


def adopt_tasks(profile: Profile, tasks: tuple[Task, ...], say: Say) -> Profile:
    """The profile, with the benchmark's tasks where it lacks some of them."""
    if {task.name for task in tasks} <= {task.name for task in profile.task_list}:
        return profile
    say(f"profile {profile.name!r} has other tasks than the benchmark; classifying over the benchmark's own")
    own = tuple(TaskConfig(name=task.name, description=task.description) for task in tasks)
    return profile.model_copy(update={"tasks": own})


def settings_fingerprint(profile: Profile) -> str:
    """A hash of everything in a profile that decides what is asked, and of nothing else.

    How often, how fast and with which key may change from one start to the next, and so may the leaderboard.
    """
    settings = profile.model_dump(mode="json", include={"tasks", "experts", "classifier", "retrieval"})
    settings["models"] = {name: model_fingerprint(config, profile) for name, config in profile.models.items()}
    return hashlib.sha256(orjson.dumps(settings, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _identity(order: BenchRequest, profile: Profile, questions: tuple[Question, ...]) -> dict[str, Any]:
    ids = hashlib.sha256("".join(question.id for question in questions).encode()).hexdigest()
    return {
        "profile": order.profile,
        "settings": settings_fingerprint(profile),
        "data": order.data,
        "split": order.split,
        "questions": ids,
        "journal": order.journal,
    }
