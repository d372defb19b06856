"""Replay: a run's figures made again, or by another leaderboard or profile, without a single call.

What the run's records do not tell is read out of its journal; what the journal does not have counts as failed.
"""

import asyncio
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from coe_ray.bench.collect import ReportLine
from coe_ray.bench.indexing import Indexes
from coe_ray.bench.records import evaluate_question
from coe_ray.bench.results import make_bill, write_results
from coe_ray.bench.run import adopt_tasks, settings_fingerprint
from coe_ray.core.chat_model import ChatModel
from coe_ray.core.errors import ConfigError
from coe_ray.core.files import hold_lock
from coe_ray.core.run_folder import QUESTIONS_PER_FILE, RunFolder, read_questions, records_table
from coe_ray.core.types import Question, Task
from coe_ray.journal.audit import audit_calls
from coe_ray.journal.journal import Journal
from coe_ray.llm.factory import make_local_models, wrap_in_journal
from coe_ray.profile.models import RecordedModel, ScriptedModelConfig
from coe_ray.profile.profile import LeaderboardConfig, Profile, load_profile
from coe_ray.routing.pipeline import CompositionOfExperts


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """The run to replay; another profile or leaderboard needs an `out` of its own."""

    run: Path
    out: Path | None = None
    profile: str | None = None
    leaderboard: Path | None = None


def replay(request: ReplayRequest, report_line: ReportLine) -> dict[str, Any]:
    """Returns the summary, which is also written. Raises `CoeError`. Needs no Ray and no network."""
    started = time.monotonic()
    if request.out is None and (request.profile or request.leaderboard):
        raise ConfigError(
            "give --out for a replay by another profile or leaderboard: it must not replace the run's own results"
        )
    source, target = RunFolder(request.run), RunFolder(request.out or request.run)
    card = source.card()
    # A replay's journal and index stay where they are: a replay of it finds them there.
    card = {**card, "journal": card["journal"] or str(source.journal), "index": card.get("index", str(source.index))}
    profile = _profile(request, card, report_line)
    questions = {question.id: question for question in read_questions(source.questions)}
    with hold_lock(target.lock):
        _fill(source, target, card, profile, tuple(questions.values()), report_line)
        # The run's own bill where its own results are made again; another replay issued nothing.
        audits = audit_calls(card["journal"], card["run"]) if target.root == source.root else {}
        facts = {
            "calls": make_bill(audits, profile),
            "rejected": pq.read_metadata(source.rejected).num_rows,
            "seconds": round(time.monotonic() - started, 1),
            "data": card["data"],
            "split": card["split"],
            "replay": str(source.root),
        }
        return write_results(target, profile, questions, facts)


def _profile(request: ReplayRequest, card: dict[str, Any], report_line: ReportLine) -> Profile:
    profile = load_profile(request.profile or card["profile"]).without_study
    if request.leaderboard is not None:
        path = str(request.leaderboard.absolute())
        profile = profile.model_copy(update={"leaderboard": LeaderboardConfig(path=path)})
    return adopt_tasks(profile, tuple(Task(**task) for task in card["tasks"]), report_line)


def _fill(
    source: RunFolder,
    target: RunFolder,
    card: dict[str, Any],
    profile: Profile,
    questions: Sequence[Question],
    report_line: ReportLine,
) -> None:
    """Write the target's records: the run's own, or where the profile differs, those that its journal tells."""
    settings = settings_fingerprint(profile)
    same, own = settings == card["settings"], target.root == source.root
    if own and not same:
        raise ConfigError(
            f"profile {profile.name!r} has changed since the run; "
            "give --out: its results must not replace the run's own"
        )
    if not own:
        _begin(target, source, card, settings)
    if same and source.records_file.exists():
        if not own:
            shutil.copy(source.records_file, target.records_file)
        return
    report_line(f"{len(questions)} questions are read out of the journal")
    with closing(Journal.open(card["journal"])) as journal:
        target.write_records(_evaluate(_pipeline(Path(card["index"]), profile, journal), questions))


def _begin(target: RunFolder, source: RunFolder, card: dict[str, Any], settings: str) -> None:
    """Make the target's folder anew. Raises `ConfigError` where it holds a run."""
    if target.card_file.is_file() and "replay" not in target.card():
        raise ConfigError(f"{target.root}: holds a run; give another --out for the replay")
    target.write_card({**card, "settings": settings, "replay": str(source.root)})
    shutil.copytree(source.questions, target.questions, dirs_exist_ok=True)
    shutil.copy(source.rejected, target.rejected)


def _evaluate(coe: CompositionOfExperts, questions: Sequence[Question]) -> Iterator[pa.Table]:
    async def evaluate_all(part: Sequence[Question]) -> pa.Table:
        return records_table(await asyncio.gather(*(evaluate_question(coe, question) for question in part)))

    with asyncio.Runner() as runner:
        for start in range(0, len(questions), QUESTIONS_PER_FILE):
            yield runner.run(evaluate_all(questions[start : start + QUESTIONS_PER_FILE]))


def _pipeline(index: Path, profile: Profile, journal: Journal) -> CompositionOfExperts:
    """The profile's pipeline, each model replaced by what the journal has of it."""
    # A table of answers or a script is a record itself: nobody is called where it is asked.
    local = {
        name: each for name, each in profile.models.items() if isinstance(each, RecordedModel | ScriptedModelConfig)
    }
    tables = make_local_models(profile.model_copy(update={"models": local}))
    models: dict[str, ChatModel] = {
        name: tables.get(name) or wrap_in_journal(profile, name, journal, None) for name in profile.models
    }
    index = index if index.is_dir() else profile.index_folder
    retriever = Indexes(profile).open(index, (), profile.classifier.k)
    return CompositionOfExperts(profile, models, retriever, None)
