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

from coe_ray.bench.billing import bill
from coe_ray.bench.collect import Deploy, Say, Sitting, check, sit
from coe_ray.bench.datasets.load import Benchmark, Split, load_benchmark, stratified
from coe_ray.bench.graceful_shutdown import Leaving
from coe_ray.bench.results import write_results
from coe_ray.bench.stream import plainly
from coe_ray.core.files import held
from coe_ray.core.run_folder import RunFolder
from coe_ray.core.types import Question, Task
from coe_ray.journal.audit import audit
from coe_ray.profile.fingerprint import identity
from coe_ray.profile.profile import Profile, TaskConfig, load_profile


@dataclass(frozen=True, slots=True)
class BenchOrder:
    """What to measure: `per_task` draws that many questions of each task (seeded), `None` takes all.

    `journal` is a folder or a `pyarrow.fs` URI; the run folder's own without it. `retry_failed` asks again what
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


def run_bench(order: BenchOrder, say: Say, deploy: Deploy, leaving: Leaving | None = None) -> dict[str, Any]:
    """Run, or go on with, a bench; returns the summary that it also writes. Raises `CoeError`.

    Needs a running Ray. `summary["incomplete"]` says whether calls failed.
    """
    started = time.monotonic()
    profile = load_profile(order.profile).served
    benchmark = load_benchmark(order.data, split=order.split, tasks=profile.task_list)
    profile = fitted(profile, benchmark.tasks, say)
    questions = drawn(benchmark, order.per_task, order.seed)
    folder = RunFolder(order.out)
    sitting = Sitting(order.profile, profile, benchmark, questions, folder, order.journal, order.retry_failed)
    check(sitting)
    with plainly(folder), held(folder.lock):
        run = sit(sitting, _identity(order, profile, questions), say, deploy, leaving or Leaving())
        facts = {
            "calls": bill(audit(sitting.journal_place, run), profile),
            "rejected": len(benchmark.rejected),
            "seconds": round(time.monotonic() - started, 1),
            "data": order.data,
            "split": order.split,
        }
        return write_results(folder, profile, {question.id: question for question in questions}, facts)


def drawn(benchmark: Benchmark, per_task: int | None, seed: int) -> tuple[Question, ...]:
    """A benchmark's questions, or up to `per_task` of each task."""
    return benchmark.questions if per_task is None else stratified(benchmark.questions, per_task, seed)


def fitted(profile: Profile, tasks: tuple[Task, ...], say: Say) -> Profile:
    """The profile, with the benchmark's tasks where it lacks some of them."""
    if {task.name for task in tasks} <= {task.name for task in profile.task_list}:
        return profile
    say(f"profile {profile.name!r} has other tasks than the benchmark; classifying over the benchmark's own")
    own = tuple(TaskConfig(name=task.name, description=task.description) for task in tasks)
    return profile.model_copy(update={"tasks": own})


def asking(profile: Profile) -> str:
    """A hash of everything in a profile that decides what is asked, and of nothing else.

    How often, how fast and with which key may change from one start to the next, and so may the leaderboard.
    """
    settings = profile.model_dump(mode="json", include={"tasks", "experts", "classifier", "retrieval"})
    settings["models"] = {name: identity(config, profile) for name, config in profile.models.items()}
    return hashlib.sha256(orjson.dumps(settings, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _identity(order: BenchOrder, profile: Profile, questions: tuple[Question, ...]) -> dict[str, Any]:
    ids = hashlib.sha256("".join(question.id for question in questions).encode()).hexdigest()
    return {
        "profile": order.profile,
        "settings": asking(profile),
        "data": order.data,
        "split": order.split,
        "questions": ids,
        "journal": order.journal,
    }
