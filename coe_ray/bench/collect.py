"""Collecting a benchmark's answers: every question is put to every expert and classifier, whatever interrupts it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from ray import serve

from coe_ray.bench.datasets.load import Benchmark
from coe_ray.bench.graceful_shutdown import GracefulShutdown
from coe_ray.bench.indexing import ensure_profile_index, known_examples
from coe_ray.bench.progress import ProgressReporter, commit_workers, start_tracker
from coe_ray.bench.records import failed_calls
from coe_ray.bench.stream import stream_records
from coe_ray.bench.worker import ExtraClassifier, WorkerConfig
from coe_ray.cluster.health import APPLICATION, hosted_model_names, is_serving
from coe_ray.cluster.ray_internals import delete_application
from coe_ray.core.errors import DataError
from coe_ray.core.run_folder import RunFolder
from coe_ray.core.types import Question
from coe_ray.journal.audit import audit_calls
from coe_ray.journal.segments import check_is_folder
from coe_ray.llm.factory import make_local_models
from coe_ray.llm.weights import fetch_weights
from coe_ray.profile.profile import Profile, load_profile
from coe_ray.retrieval.index import has_index
from coe_ray.routing.pipeline import Shots

ReportLine: TypeAlias = Callable[[str], None]

DeployModels: TypeAlias = Callable[[str], None]
"""Deploys the hosted models of a profile, given by name or file; injected, as bench does not import serving."""


@dataclass(frozen=True, slots=True)
class CollectionPlan:
    """What is asked about a benchmark's questions, and where it is kept.

    `reference` is the profile's name or file; `identity` must not change from one start to the next in `folder`.
    """

    reference: str
    profile: Profile
    benchmark: Benchmark
    questions: tuple[Question, ...]
    folder: RunFolder
    identity: Mapping[str, Any]
    journal: str | None = None
    retry_failed: bool = False
    extra_classifiers: Mapping[str, ExtraClassifier] = field(default_factory=dict)
    shots: Shots = field(default_factory=dict)

    @property
    def journal_folder(self) -> str:
        return self.journal or str(self.folder.journal)

    def index(self) -> tuple[Path, tuple[Question, ...]]:
        """The run's index and its examples: its own, as the endpoint's may hold another benchmark's questions."""
        examples = known_examples(self.profile, self.benchmark.examples)
        return (self.folder.index if examples else self.profile.index_folder), examples

    def worker_config(self, run: str) -> WorkerConfig:
        return WorkerConfig(
            self.profile,
            *self.index(),
            self.folder.vectors,
            self.journal_folder,
            run,
            self.retry_failed,
            self.extra_classifiers,
            self.shots,
        )


def check_plan(plan: CollectionPlan) -> None:
    """Raises `CoeError` for whatever would keep a worker from starting; before there is a folder."""
    check_is_folder(plan.journal_folder)
    profile = plan.profile
    make_local_models(profile)
    if not profile.classifier.k:
        return
    fetch_weights(profile.retrieval.encoder)
    index, examples = plan.index()
    if not examples and not has_index(index):
        name = plan.benchmark.name
        raise DataError(f"{index}: no retrieval index there, and {name} has no examples; use `coe-ray index`")


def collect_answers(
    plan: CollectionPlan, report_line: ReportLine, deploy: DeployModels, shutdown: GracefulShutdown
) -> str:
    """Make the calls that the journal does not have, and write the records; returns the run's id. Raises `CoeError`."""
    folder, benchmark, total = plan.folder, plan.benchmark, len(plan.questions)
    run = folder.begin(plan.identity, plan.questions, {"tasks": [asdict(task) for task in benchmark.tasks]})
    folder.write_rejected(map(asdict, benchmark.rejected))
    report_line(f"{total} questions of {len(benchmark.tasks)} tasks; {len(benchmark.rejected)} rows rejected")
    if _is_complete(folder, total):
        report_line("every question is answered already; nothing is asked")
        return run
    folder.records_file.unlink(missing_ok=True)  # they lack what this start will add
    progress = ProgressReporter(folder, total, report_line)
    with progress.running(shutdown), _hosted_models(plan, report_line, deploy, shutdown):
        if calls := sum(audit.completed for audit in audit_calls(plan.journal_folder, run).values()):
            report_line(f"going on: the journal has {calls} finished calls of this run")
        tracker = start_tracker(total)
        with shutdown.step(lambda: commit_workers(tracker)), progress.reading(tracker):
            folder.write_records(stream_records(plan.worker_config(run), folder, tracker))
    return run


def _is_complete(folder: RunFolder, total: int) -> bool:
    """Whether a former start came to its end, as records are written only then, and no call of it failed."""
    return folder.records_file.exists() and sum(not failed_calls(record) for record in folder.records()) == total


@contextmanager
def _hosted_models(
    plan: CollectionPlan, report_line: ReportLine, deploy: DeployModels, shutdown: GracefulShutdown
) -> Iterator[None]:
    """The profile's hosted models, deployed for this run only where they are not yet serving."""
    names = hosted_model_names(plan.profile)
    if not names or is_serving(plan.profile):
        yield
        return
    report_line(f"deploying {', '.join(names)}: not serving yet")
    ensure_profile_index(load_profile(plan.reference))
    with shutdown.step(lambda: delete_application(APPLICATION)):
        deploy(plan.reference)
        try:
            yield
        finally:
            report_line("stopping what was deployed for this run")
            serve.delete(APPLICATION)
