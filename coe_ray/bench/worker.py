"""Worker actor of a bench: puts every question of a batch through the pipeline and returns the records."""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
from ray.actor import ActorHandle
from ray.exceptions import RayError

from coe_ray.bench.indexing import Indexes
from coe_ray.bench.progress import ProgressUpdate
from coe_ray.bench.records import evaluate_question, failed_calls
from coe_ray.cluster.governors import connect_governors
from coe_ray.cluster.health import tune_garbage_collector
from coe_ray.cluster.hosted import make_hosted_models
from coe_ray.core.call_activity import CallActivity
from coe_ray.core.run_folder import QuestionRecord, read_question_row, records_table
from coe_ray.core.types import Question
from coe_ray.journal.journal import Journal
from coe_ray.llm.factory import make_local_models, wrap_in_journal
from coe_ray.profile.profile import Profile
from coe_ray.ratelimit.limiter import LimiterRegistry
from coe_ray.routing.pipeline import CompositionOfExperts, Shots

log = logging.getLogger(__name__)

QUESTIONS_AT_ONCE = 1024
"""Questions under way in one worker; the limiters and the hosted models decide how many calls are."""

REPORT_INTERVAL_S = 0.5


@dataclass(frozen=True, slots=True)
class ExtraClassifier:
    """A further classifier that labels every question: a profile's, over its tasks and with its examples."""

    profile: Profile
    index: Path
    examples: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """What a worker needs to know: plain data, which is sent to its process."""

    profile: Profile
    index: Path
    examples: tuple[Question, ...]
    vectors: Path
    journal: str
    run: str
    retry_failed: bool
    extra_classifiers: Mapping[str, ExtraClassifier] = field(default_factory=dict)
    shots: Shots = field(default_factory=dict)


class EvalWorker:
    """Every call is in the journal before it counts, and what is in the journal is not called again."""

    def __init__(self, config: WorkerConfig, tracker: ActorHandle) -> None:
        tune_garbage_collector()
        self._activity = CallActivity()
        self._journal = Journal.open(config.journal, config.run)
        self._coe, self._extra_classifiers = _pipelines(config, self._journal, self._activity)
        self._slots = asyncio.Semaphore(QUESTIONS_AT_ONCE)
        self._name = uuid.uuid4().hex
        self._tracker = tracker
        self._done: dict[str, Sequence[str]] = {}
        self._batches = 0
        self._reporter: asyncio.Task[None] | None = None
        self._stopping = False

    async def __call__(self, batch: pa.Table) -> pa.Table:
        await self._journal.refresh()  # another worker may have begun this batch, and died
        async with self._reporting():
            records = await asyncio.gather(*(self._evaluate(read_question_row(row)) for row in batch.to_pylist()))
        return records_table(records)

    async def _evaluate(self, question: Question) -> QuestionRecord:
        async with self._slots:
            record = await evaluate_question(self._coe, question, self._extra_classifiers)
        self._done[question.id] = failed_calls(record)
        return record

    @contextlib.asynccontextmanager
    async def _reporting(self) -> AsyncIterator[None]:
        """Report progress while any batch is under way, and at the end of each."""
        self._batches += 1
        if self._reporter is None or self._reporter.done():
            self._reporter = asyncio.create_task(self._keep_reporting())
        try:
            yield
        finally:
            self._batches -= 1
            await self._report()

    async def _keep_reporting(self) -> None:
        while self._batches:
            await self._report()
            await asyncio.sleep(REPORT_INTERVAL_S)

    async def _report(self) -> None:
        done, self._done = self._done, {}
        activity = self._activity
        update = ProgressUpdate(done, activity.in_flight, activity.waiting, dict(activity.backing_off))
        try:
            if await self._tracker.report.remote(self._name, update) and not self._stopping:
                self._stopping = True
                await asyncio.to_thread(self._journal.flush)
                await self._tracker.confirm_commit.remote(self._name)
        except RayError as error:  # the tracker is gone: nothing that is asked or kept depends on it
            log.warning("the progress cannot be reported: %s", error)


def _pipelines(
    config: WorkerConfig, journal: Journal, activity: CallActivity
) -> tuple[CompositionOfExperts, dict[str, CompositionOfExperts]]:
    """The profile's pipeline and those that only classify, each model behind the journal."""
    profile, indexes = config.profile, Indexes(config.profile, config.vectors)
    models = make_local_models(profile, LimiterRegistry(connect_governors(), activity)) | make_hosted_models(
        profile, activity
    )
    journaled = {
        name: wrap_in_journal(profile, name, journal, model, retry_failed=config.retry_failed)
        for name, model in models.items()
    }

    def pipeline(profile: Profile, index: Path, examples: tuple[Question, ...]) -> CompositionOfExperts:
        retriever = indexes.open(index, examples, profile.classifier.k)
        return CompositionOfExperts(profile, journaled, retriever, None, config.shots)

    extra = {name: pipeline(each.profile, each.index, each.examples) for name, each in config.extra_classifiers.items()}
    return pipeline(profile, config.index, config.examples), extra
