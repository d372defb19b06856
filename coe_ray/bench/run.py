"""A bench run: questions/ → Ray Data → rows/ (checkpointed) → answers/, summary.json, report.html.

The same call on the same folder goes on where it stopped: questions that stand in rows/ are not looked at again,
and calls that stand in the journal are not made again.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
from ray import serve

from coe_ray.bench.billing import bill
from coe_ray.bench.datasets import Benchmark, Split, load_benchmark, stratified
from coe_ray.bench.examiner import Assignment
from coe_ray.bench.index import ensure_profile_index, known_examples
from coe_ray.bench.leaving import Leaving, commit
from coe_ray.bench.progress import desk_here, report_progress
from coe_ray.bench.rejects import write_rejected
from coe_ray.bench.results import write_results
from coe_ray.bench.streaming import plainly, stream
from coe_ray.calls.audit import audit
from coe_ray.cluster import APPLICATION, hosted_model_names, is_serving
from coe_ray.config import Profile, TaskConfig, load_profile
from coe_ray.errors import ConfigError, DataError
from coe_ray.files import held
from coe_ray.identities import identity
from coe_ray.models import local_models
from coe_ray.retrieval import has_index
from coe_ray.runs import RunFolder
from coe_ray.types import Question, Task
from coe_ray.weights import downloaded

Say = Callable[[str], None]
Deploy = Callable[[str], None]
"""Deploys a profile's hosted models; given by the job, as serving is not the bench's to import."""


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
    _refuse_secrets(order.journal)
    benchmark = load_benchmark(order.data, split=order.split)
    profile = fitted(load_profile(order.profile), benchmark.tasks, say)
    questions = benchmark.questions
    if order.per_task is not None:
        questions = stratified(questions, order.per_task, order.seed)
    folder = RunFolder(order.out)
    index, examples = _examples(profile, benchmark, folder)
    with plainly(folder), held(folder.lock):
        notes = {"tasks": [asdict(task) for task in benchmark.tasks]}
        run = folder.begin(_identity(order, profile, questions), questions, notes)
        write_rejected(folder.rejected, benchmark.rejected)
        say(f"{len(questions)} questions of {len(benchmark.tasks)} tasks; {len(benchmark.rejected)} rows rejected")
        journal = order.journal or str(folder.journal)
        assignment = Assignment(profile, index, examples, folder.failures, journal, run, order.retry_failed)
        _examine(order.profile, assignment, folder, len(questions), say, deploy, leaving or Leaving())
        facts = {
            "calls": bill(audit(journal, run), profile),
            "rejected": len(benchmark.rejected),
            "seconds": round(time.monotonic() - started, 1),
            "data": order.data,
            "split": order.split,
        }
        return write_results(folder, profile, {question.id: question for question in questions}, facts)


def _refuse_secrets(journal: str | None) -> None:
    if journal and urlsplit(journal).username is not None:
        raise ConfigError(
            "--journal: a URI with credentials would stand in the run's files; give them in the environment"
        )


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


def _examples(profile: Profile, benchmark: Benchmark, folder: RunFolder) -> tuple[Path, tuple[Question, ...]]:
    """The run's index and what it is made of: of the benchmark's own, as the endpoint's may hold another's questions.

    Raises `CoeError` for all that an examiner could not start with: before there is a folder, and in one line.
    """
    local_models(profile)
    examples = known_examples(profile, benchmark.examples)
    index = folder.index if examples else profile.index_folder
    if profile.classifier.k:
        downloaded(profile.retrieval.encoder)
    if profile.classifier.k and not examples and not has_index(index):
        raise DataError(f"{index}: no retrieval index there, and {benchmark.name} has no examples; use jobs/index.py")
    return index, examples


def _examine(
    reference: str, assignment: Assignment, folder: RunFolder, total: int, say: Say, deploy: Deploy, leaving: Leaving
) -> None:
    """Ask what is not yet answered."""
    done = folder.finished()
    if done == total:
        say("every question is answered already; nothing is asked")
        return
    with _serving(reference, assignment.profile, say, deploy, leaving):
        if done:
            say(f"going on after {done} of {total} questions")
        desk = desk_here(done, total)
        with leaving.by(lambda: commit(desk)), report_progress(desk, say):
            stream(assignment, folder, desk)


@contextmanager
def _serving(reference: str, profile: Profile, say: Say, deploy: Deploy, leaving: Leaving) -> Iterator[None]:
    """The profile's hosted models, deployed for this run only where they are not yet serving."""
    names = hosted_model_names(profile)
    if not names or is_serving(profile):
        yield
        return
    say(f"deploying {', '.join(names)}: not serving yet")
    ensure_profile_index(load_profile(reference))
    with leaving.by(lambda: serve.delete(APPLICATION, _blocking=False)):
        deploy(reference)
        try:
            yield
        finally:
            say("stopping what was deployed for this run")
            serve.delete(APPLICATION)
