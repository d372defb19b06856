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

import orjson
import ray
from ray import serve
from ray.data import ActorPoolStrategy, DataContext
from ray.data.checkpoint import CheckpointConfig
from ray.exceptions import RayError

from coe_ray.bench.billing import bill
from coe_ray.bench.datasets import Benchmark, Split, load_benchmark, stratified
from coe_ray.bench.examiner import Assignment, Examiner
from coe_ray.bench.index import ensure_profile_index, known_examples
from coe_ray.bench.leaving import Leaving, commit
from coe_ray.bench.progress import Desk, report_progress
from coe_ray.bench.rejects import write_rejected
from coe_ray.bench.results import write_results
from coe_ray.calls.audit import audit
from coe_ray.cluster import APPLICATION, hosted_model_names, is_serving
from coe_ray.config import Profile, TaskConfig, load_profile
from coe_ray.errors import CoeError, DataError
from coe_ray.files import held
from coe_ray.models import local_models
from coe_ray.runs import QUESTIONS_PER_FILE, RunFolder
from coe_ray.types import Question, Task
from coe_ray.weights import locate

BLOCKS_AT_ONCE = 8
"""In one examiner: so many that the last slow answers of one block never keep calls from being made."""

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
    benchmark = load_benchmark(order.data, split=order.split)
    profile = fitted(load_profile(order.profile), benchmark.tasks, say)
    questions = benchmark.questions
    if order.per_task is not None:
        questions = stratified(questions, order.per_task, order.seed)
    folder = RunFolder(order.out)
    index, examples = _examples(profile, benchmark, folder)
    with _plainly(folder), held(folder.lock):
        notes = {"asking": asking(profile), "tasks": [asdict(task) for task in benchmark.tasks]}
        run = folder.begin(_identity(order, profile, questions), questions, notes)
        write_rejected(order.out / "rejected.parquet", benchmark.rejected)
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


def fitted(profile: Profile, tasks: tuple[Task, ...], say: Say) -> Profile:
    """The profile, with the benchmark's tasks where it lacks some of them."""
    if {task.name for task in tasks} <= {task.name for task in profile.task_list}:
        return profile
    say(f"profile {profile.name!r} has other tasks than the benchmark; classifying over the benchmark's own")
    own = tuple(TaskConfig(name=task.name, description=task.description) for task in tasks)
    return profile.model_copy(update={"tasks": own})


def asking(profile: Profile) -> str:
    """A hash of everything in a profile that decides what is asked; the leaderboard decides only who is heard."""
    settings = profile.model_dump(mode="json", exclude={"name", "folder", "leaderboard", "routing"})
    return hashlib.sha256(orjson.dumps(settings, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _identity(order: BenchOrder, profile: Profile, questions: tuple[Question, ...]) -> dict[str, Any]:
    ids = hashlib.sha256("".join(question.id for question in questions).encode()).hexdigest()
    settings = profile.model_dump(mode="json", exclude={"folder"})
    return {
        "profile": order.profile,
        "settings": hashlib.sha256(orjson.dumps(settings, option=orjson.OPT_SORT_KEYS)).hexdigest(),
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
        locate(profile.retrieval.encoder)
    if profile.classifier.k and not examples and not index.is_dir():
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
        desk = ray.remote(num_cpus=0)(Desk).remote(done, total)
        with leaving.by(lambda: commit(desk)), report_progress(desk, say):
            _stream(assignment, folder, desk)


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


@contextmanager
def _plainly(folder: RunFolder) -> Iterator[None]:
    """An error of ours, or of the system, wherever it was met: in one line, without what Ray wraps it in."""
    try:
        yield
    except (RayError, OSError) as error:
        for cause in _causes(error):
            if isinstance(cause, CoeError):
                cause.args = (_own_words(cause),)
                raise cause from None
            if isinstance(cause, OSError):
                kept = "what was written before is kept: see to it and run the same command again"
                raise DataError(f"{folder.root}: {_own_words(cause)}; {kept}") from error
        raise


def _own_words(error: Exception) -> str:
    """What an error says, without the advice that Ray Data writes into whatever passes through it."""
    words, advice, _ = str(error).partition("Failed to apply UDF")
    return words.rstrip(" :'\n") if advice else words


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Without Ray's own: they pass for what they wrap, with its traceback in their text."""
    cause: BaseException | None = error
    while cause is not None:
        if not isinstance(cause, RayError):
            yield cause
        cause = getattr(cause, "cause", None) or cause.__cause__


def _stream(assignment: Assignment, folder: RunFolder, desk: Any) -> None:
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.raise_original_map_exception = True  # or nothing is left of it but its traceback
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
            fn_constructor_args=(assignment, desk),
            batch_size=QUESTIONS_PER_FILE,
            batch_format="pyarrow",
            # One a node, as Ray spreads them: its journal's index is the node's only one.
            compute=ActorPoolStrategy(size=_nodes(), max_concurrent_calls_per_actor=BLOCKS_AT_ONCE),
            num_cpus=0.5,
        )
        records.write_parquet(str(folder.rows), concurrency=1)
    finally:
        context.checkpoint_config = None


def _nodes() -> int:
    """Nodes that can hold an examiner."""
    fit = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
    return max(1, len(fit))
