"""A bench run: questions/ → Ray Data → records.parquet → answers/, summary.json, report.html.

The same call on the same folder resumes: every question is streamed again, and calls that the journal has are not made.
"""

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from coe_ray.bench.collect import CollectionPlan, DeployModels, ReportLine, check_plan, collect_answers
from coe_ray.bench.datasets.load import Split, load_benchmark, sample_by_task
from coe_ray.bench.graceful_shutdown import GracefulShutdown
from coe_ray.bench.results import make_bill, write_results
from coe_ray.bench.stream import plain_errors
from coe_ray.core.files import hold_lock
from coe_ray.core.run_folder import RunFolder
from coe_ray.core.types import Task
from coe_ray.journal.audit import audit_calls
from coe_ray.profile.fingerprint import model_fingerprint
from coe_ray.profile.profile import Profile, TaskConfig, load_profile


@dataclass(frozen=True, slots=True)
class BenchRequest:
    """What to measure. `per_task` draws that many questions of each task (seeded); `None` takes all.

    `journal` is a folder on shared storage; without it, the run folder's own. `retry_failed` repeats calls that failed
    permanently.
    """

    profile: str
    data: str
    out: Path
    split: Split = "test"
    per_task: int | None = None
    seed: int = 0
    journal: str | None = None
    retry_failed: bool = False


def run_bench(
    request: BenchRequest, report_line: ReportLine, deploy: DeployModels, shutdown: GracefulShutdown | None = None
) -> dict[str, Any]:
    """Start or resume a bench; returns the summary, which is also written. Raises `CoeError`.

    Needs a running Ray, unless every question is answered. `summary["incomplete"]` says whether calls failed.
    """
    started = time.monotonic()
    plan = _make_plan(request, report_line)
    check_plan(plan)
    with plain_errors(plan.folder), hold_lock(plan.folder.lock):
        run = collect_answers(plan, report_line, deploy, shutdown or GracefulShutdown())
        facts = {
            "calls": make_bill(audit_calls(plan.journal_folder, run), plan.profile),
            "rejected": len(plan.benchmark.rejected),
            "seconds": round(time.monotonic() - started, 1),
            "data": request.data,
            "split": request.split,
        }
        return write_results(plan.folder, plan.profile, {question.id: question for question in plan.questions}, facts)


def _make_plan(request: BenchRequest, report_line: ReportLine) -> CollectionPlan:
    profile = load_profile(request.profile).without_study
    benchmark = load_benchmark(request.data, split=request.split, tasks=profile.task_list)
    profile = adopt_tasks(profile, benchmark.tasks, report_line)
    questions = sample_by_task(benchmark.questions, request.per_task, request.seed)
    identity = {
        "profile": request.profile,
        "settings": settings_fingerprint(profile),
        "data": request.data,
        "split": request.split,
        "questions": hashlib.sha256("".join(question.id for question in questions).encode()).hexdigest(),
        "journal": request.journal,
    }
    folder = RunFolder(request.out)
    return CollectionPlan(
        request.profile, profile, benchmark, questions, folder, identity, request.journal, request.retry_failed
    )


def adopt_tasks(profile: Profile, tasks: tuple[Task, ...], report_line: ReportLine) -> Profile:
    """The profile, with the benchmark's tasks where it lacks some of them."""
    if {task.name for task in tasks} <= {task.name for task in profile.task_list}:
        return profile
    report_line(f"profile {profile.name!r} has other tasks than the benchmark; classifying over the benchmark's own")
    own = tuple(TaskConfig(name=task.name, description=task.description) for task in tasks)
    return profile.model_copy(update={"tasks": own})


def settings_fingerprint(profile: Profile) -> str:
    """Hash of everything in a profile that decides what is asked.

    Attempts, rates, keys and the leaderboard are left out: they may change from one start to the next.
    """
    settings = profile.model_dump(mode="json", include={"tasks", "experts", "classifier", "retrieval"})
    settings["models"] = {name: model_fingerprint(config, profile) for name, config in profile.models.items()}
    return hashlib.sha256(orjson.dumps(settings, option=orjson.OPT_SORT_KEYS)).hexdigest()
