"""One sitting of a benchmark: every question put to every expert and classifier, and kept, whatever stops it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ray import serve

from coe_ray.bench.datasets.load import Benchmark
from coe_ray.bench.datasets.rejects import write_rejected
from coe_ray.bench.graceful_shutdown import GracefulShutdown, commit
from coe_ray.bench.indexing import ensure_profile_index, known_examples
from coe_ray.bench.progress import report_progress, start_tracker
from coe_ray.bench.progress_file import ProgressFile
from coe_ray.bench.stream import stream_questions
from coe_ray.bench.worker import ExtraClassifier, WorkerConfig
from coe_ray.cluster.health import APPLICATION, hosted_model_names, is_serving
from coe_ray.cluster.ray_internals import delete_application
from coe_ray.core.errors import ConfigError, DataError
from coe_ray.core.run_folder import RunFolder
from coe_ray.core.types import Question
from coe_ray.llm.factory import make_local_models
from coe_ray.llm.weights import fetch_weights
from coe_ray.profile.profile import Profile, load_profile
from coe_ray.retrieval.index import has_index
from coe_ray.routing.pipeline import Shots

Say = Callable[[str], None]
Deploy = Callable[[str], None]
"""Deploys a profile's hosted models; given by the job, as serving is not the bench's to import."""


@dataclass(frozen=True, slots=True)
class CollectionPlan:
    """Everything that is asked about a benchmark's questions, and where it is kept.

    `reference` is the profile's name or file, for who deploys it; `labellers` are further classifiers, and `shots`
    solved questions that stand before each question of their category.
    """

    reference: str
    profile: Profile
    benchmark: Benchmark
    questions: tuple[Question, ...]
    folder: RunFolder
    journal: str | None = None
    retry_failed: bool = False
    labellers: Mapping[str, ExtraClassifier] = field(default_factory=dict)
    shots: Shots = field(default_factory=dict)

    @property
    def journal_place(self) -> str:
        return self.journal or str(self.folder.journal)

    def examples(self) -> tuple[Path, tuple[Question, ...]]:
        """The run's index and what it is made of: its own, as the endpoint's may hold another benchmark's questions."""
        examples = known_examples(self.profile, self.benchmark.examples)
        return (self.folder.index if examples else self.profile.index_folder), examples


def collect_answers(
    sitting: CollectionPlan, identity: Mapping[str, Any], say: Say, deploy: Deploy, leaving: GracefulShutdown
) -> str:
    """Ask what is not yet answered; the run's id. `identity` is what a folder must not change. Raises `CoeError`."""
    benchmark, folder, questions = sitting.benchmark, sitting.folder, sitting.questions
    index, examples = sitting.examples()
    notes = {"tasks": [asdict(task) for task in benchmark.tasks]}
    run = folder.begin(identity, questions, notes)
    write_rejected(folder.rejected, benchmark.rejected)
    say(f"{len(questions)} questions of {len(benchmark.tasks)} tasks; {len(benchmark.rejected)} rows rejected")
    assignment = WorkerConfig(
        sitting.profile,
        index,
        examples,
        folder.failures,
        sitting.journal_place,
        run,
        sitting.retry_failed,
        sitting.labellers,
        sitting.shots,
    )
    progress = ProgressFile(folder, len(questions))
    with progress.kept(leaving):
        _examine(sitting.reference, assignment, folder, len(questions), say, deploy, leaving, progress)
    return run


def check_plan(sitting: CollectionPlan) -> None:
    """Raises `CoeError` for all that an examiner could not start with: before there is a folder, and in one line."""
    _refuse_secrets(sitting.journal)
    profile = sitting.profile
    make_local_models(profile)
    if not profile.classifier.k:
        return
    fetch_weights(profile.retrieval.encoder)
    index, examples = sitting.examples()
    if not examples and not has_index(index):
        where = sitting.benchmark.name
        raise DataError(f"{index}: no retrieval index there, and {where} has no examples; use `coe-ray index`")


def _refuse_secrets(journal: str | None) -> None:
    if journal and urlsplit(journal).username is not None:
        raise ConfigError(
            "--journal: a URI with credentials would stand in the run's files; give them in the environment"
        )


def _examine(
    reference: str,
    assignment: WorkerConfig,
    folder: RunFolder,
    total: int,
    say: Say,
    deploy: Deploy,
    leaving: GracefulShutdown,
    progress: ProgressFile,
) -> None:
    """Ask what is not yet answered."""
    done = folder.finished()
    if done == total:
        say("every question is answered already; nothing is asked")
        return
    with _serving(reference, assignment.profile, say, deploy, leaving):
        if done:
            say(f"going on after {done} of {total} questions")
        desk = start_tracker(done, total)
        with leaving.by(lambda: commit(desk)), report_progress(desk, say), progress.of(desk):
            stream_questions(assignment, folder, desk)


@contextmanager
def _serving(reference: str, profile: Profile, say: Say, deploy: Deploy, leaving: GracefulShutdown) -> Iterator[None]:
    """The profile's hosted models, deployed for this run only where they are not yet serving."""
    names = hosted_model_names(profile)
    if not names or is_serving(profile):
        yield
        return
    say(f"deploying {', '.join(names)}: not serving yet")
    ensure_profile_index(load_profile(reference))
    with leaving.by(lambda: delete_application(APPLICATION)):
        deploy(reference)
        try:
            yield
        finally:
            say("stopping what was deployed for this run")
            serve.delete(APPLICATION)
