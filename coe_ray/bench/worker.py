"""The actor of a bench: puts every question of a batch through the pipeline and notes what came of it."""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
from ray.actor import ActorHandle
from ray.exceptions import RayError

from coe_ray.bench.indexing import Indexes
from coe_ray.bench.progress import ProgressUpdate
from coe_ray.bench.results_table import evaluate_question, failures, has_failed
from coe_ray.cluster.governors import connect_governors
from coe_ray.cluster.health import tune_garbage_collector
from coe_ray.cluster.hosted import make_hosted_models
from coe_ray.core.call_activity import CallActivity
from coe_ray.core.run_folder import QuestionRecord, read_question_row, records_table, write_records
from coe_ray.core.types import Question
from coe_ray.journal.journal import Journal
from coe_ray.llm.factory import make_local_models, wrap_in_journal
from coe_ray.profile.profile import Profile
from coe_ray.ratelimit.limiters import LimiterRegistry
from coe_ray.routing.pipeline import CompositionOfExperts, Shots

log = logging.getLogger(__name__)

AT_ONCE = 1024
"""Questions under way in one actor; how many calls are, the gates and the hosted models say."""

TELL_S = 0.5
"""How often an examiner tells its news."""


@dataclass(frozen=True, slots=True)
class ExtraClassifier:
    """One more classifier that looks at every question: a profile's, over its tasks and with its examples."""

    profile: Profile
    index: Path
    examples: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """What an examiner needs to know; plain data, so that it can be sent to its process."""

    profile: Profile
    index: Path
    examples: tuple[Question, ...]
    failures: Path
    journal: str
    run: str
    retry_failed: bool
    labellers: Mapping[str, ExtraClassifier] = field(default_factory=dict)
    shots: Shots = field(default_factory=dict)


class EvalWorker:
    """Every call stands in the journal before it counts.

    Questions with a failed call are no output: they are noted in `failures/`, stay without a checkpoint, and so
    are looked at again when the same run is started again.
    """

    def __init__(self, assignment: WorkerConfig, desk: ActorHandle) -> None:
        tune_garbage_collector()
        self._activity = CallActivity()
        self._journal = Journal.open(assignment.journal, assignment.run)
        self._coe, self._labellers = _pipelines(assignment, self._journal, self._activity)
        self._failures = assignment.failures
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._name = uuid.uuid4().hex
        self._desk = desk
        self._done: dict[str, bool] = {}
        self._failed: dict[str, list[str]] = {}
        self._batches = 0
        self._teller: asyncio.Task[None] | None = None
        self._leaving = False

    async def __call__(self, batch: pa.Table) -> pa.Table:
        await self._journal.refresh()  # another examiner may have begun this batch, and died
        async with self._telling():
            records = await asyncio.gather(*(self._examined(read_question_row(row)) for row in batch.to_pylist()))
        write_records(self._failures, [record for record in records if has_failed(record)])
        return records_table(record for record in records if not has_failed(record))

    async def _examined(self, question: Question) -> QuestionRecord:
        async with self._slots:
            record = await evaluate_question(self._coe, question, self._labellers)
        self._done[question.id] = has_failed(record)
        if failed := failures(record):
            self._failed[question.id] = failed
        return record

    @contextlib.asynccontextmanager
    async def _telling(self) -> AsyncIterator[None]:
        """Tell the desk how things are while any batch is under way, and at the end of each."""
        self._batches += 1
        if self._teller is None or self._teller.done():
            self._teller = asyncio.create_task(self._tell_on())
        try:
            yield
        finally:
            self._batches -= 1
            await self._tell()

    async def _tell_on(self) -> None:
        while self._batches:
            await self._tell()
            await asyncio.sleep(TELL_S)

    async def _tell(self) -> None:
        done, self._done = self._done, {}
        failed, self._failed = self._failed, {}
        activity = self._activity
        news = ProgressUpdate(done, activity.in_flight, activity.waiting, dict(activity.backing_off), failed)
        try:
            if await self._desk.tell.remote(self._name, news) and not self._leaving:
                self._leaving = True
                self._journal.flush()
                await self._desk.left.remote(self._name)
        except RayError as error:  # the desk is gone: what is asked and kept does not depend on it
            log.warning("the progress cannot be told: %s", error)


def _pipelines(
    assignment: WorkerConfig, journal: Journal, activity: CallActivity
) -> tuple[CompositionOfExperts, dict[str, CompositionOfExperts]]:
    """The profile's pipeline and those that only classify, each model behind the journal."""
    profile, indexes = assignment.profile, Indexes(assignment.profile)
    models = make_local_models(profile, LimiterRegistry(connect_governors(), activity)) | make_hosted_models(
        profile, activity
    )
    behind = {
        name: wrap_in_journal(profile, name, journal, model, retry_failed=assignment.retry_failed)
        for name, model in models.items()
    }

    def pipeline(of: Profile, index: Path, examples: tuple[Question, ...]) -> CompositionOfExperts:
        return CompositionOfExperts(of, behind, indexes.at(index, examples, of.classifier.k), None, assignment.shots)

    others = {name: pipeline(each.profile, each.index, each.examples) for name, each in assignment.labellers.items()}
    return pipeline(profile, assignment.index, assignment.examples), others
