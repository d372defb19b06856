"""A replay: a finished run's figures again, or by another leaderboard or profile, without a single call.

What the run's records cannot tell is read out of its journal; what the journal does not have is missing, and said.
"""

import asyncio
import itertools
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq

from coe_ray.bench.billing import bill
from coe_ray.bench.index import ensured_index
from coe_ray.bench.records import examined, has_failed
from coe_ray.bench.results import write_results
from coe_ray.bench.run import asking, fitted
from coe_ray.calls.audit import audit
from coe_ray.calls.journal import Journal
from coe_ray.calls.journaled import JournaledModel
from coe_ray.chat import ChatModel
from coe_ray.config import LeaderboardConfig, Profile, load_profile
from coe_ray.errors import ConfigError
from coe_ray.files import held, write_whole
from coe_ray.identities import identity
from coe_ray.model_config import RecordedModel, ScriptedModelConfig
from coe_ray.models import local_models
from coe_ray.pipeline import CompositionOfExperts
from coe_ray.runs import QUESTIONS_PER_FILE, Record, RunFolder, read_questions, records_table
from coe_ray.types import Question, Task

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ReplayOrder:
    """The run to replay; another profile or leaderboard needs an `out` of its own."""

    run: Path
    out: Path | None = None
    profile: str | None = None
    leaderboard: Path | None = None


def replay(order: ReplayOrder, say: Say) -> dict[str, Any]:
    """The summary, which is also written. Raises `CoeError`. Needs no Ray and no network."""
    started = time.monotonic()
    source, target = RunFolder(order.run), RunFolder(_target(order))
    card = source.card()
    profile = _profile(order, card, say)
    questions = {question.id: question for question in read_questions(source.questions)}
    with held(target.lock):
        _fill(source, target, card, profile, questions, say)
        facts = {
            "calls": _calls(source, target, card, profile),
            "rejected": pq.read_metadata(source.root / "rejected.parquet").num_rows,
            "seconds": round(time.monotonic() - started, 1),
            "data": card["data"],
            "split": card["split"],
            "replay": str(source.root),
        }
        return write_results(target, profile, questions, facts)


def _target(order: ReplayOrder) -> Path:
    if order.out is None and (order.profile or order.leaderboard):
        raise ConfigError(
            "give --out for a replay by another profile or leaderboard: it must not replace the run's own results"
        )
    return order.out or order.run


def _profile(order: ReplayOrder, card: dict[str, Any], say: Say) -> Profile:
    profile = load_profile(order.profile or card["profile"])
    if order.leaderboard is not None:
        path = str(order.leaderboard.absolute())
        profile = profile.model_copy(update={"leaderboard": LeaderboardConfig(path=path)})
    return fitted(profile, tuple(Task(**task) for task in card["tasks"]), say)


def _fill(
    source: RunFolder,
    target: RunFolder,
    card: dict[str, Any],
    profile: Profile,
    questions: dict[str, Question],
    say: Say,
) -> None:
    """Bring every record that can be had into the target: the run's own, and those that its journal tells."""
    known = source.records() if asking(profile) == card["asking"] else iter(())
    if target.root != source.root:
        _begin(target, source, card)
        known = _kept(known, target)
    missing = questions.keys() - {record["id"] for record in known}
    if missing:
        say(f"{len(missing)} of {len(questions)} questions are read out of the journal")
        coe = _pipeline(source, card, profile)
        rest = [questions[id_] for id_ in sorted(missing)]
        for _ in _kept(_examined(coe, rest), target):
            pass


def _begin(target: RunFolder, source: RunFolder, card: dict[str, Any]) -> None:
    """A folder of its own, made anew. Raises `ConfigError` where a run lives in it."""
    path = target.root / "run.json"
    if path.is_file() and "replay" not in target.card():
        raise ConfigError(f"{target.root}: holds a run; give another --out for the replay")
    write_whole(path, orjson.dumps({**card, "replay": str(source.root)}, option=orjson.OPT_INDENT_2))
    for folder in (target.rows, target.failures):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    shutil.copytree(source.questions, target.questions, dirs_exist_ok=True)


def _kept(records: Iterable[Record], target: RunFolder) -> Iterator[Record]:
    """The same records, each written down on its way: as a finished row, or as one with a failed call."""
    left = iter(records)
    while batch := list(itertools.islice(left, QUESTIONS_PER_FILE)):
        for folder, failed in ((target.rows, False), (target.failures, True)):
            part = [record for record in batch if has_failed(record) is failed]
            pq.write_table(records_table(part), folder / f"{uuid.uuid4().hex}.parquet")
        yield from batch


def _examined(coe: CompositionOfExperts, questions: list[Question]) -> Iterator[Record]:
    async def together(part: list[Question]) -> list[Record]:
        return await asyncio.gather(*(examined(coe, question) for question in part))

    with asyncio.Runner() as runner:
        for start in range(0, len(questions), QUESTIONS_PER_FILE):
            yield from runner.run(together(questions[start : start + QUESTIONS_PER_FILE]))


def _pipeline(source: RunFolder, card: dict[str, Any], profile: Profile) -> CompositionOfExperts:
    """The profile's pipeline, each model replaced by what the journal has of it."""
    journal = Journal.open(card["journal"] or source.journal)
    tables = {
        name for name, config in profile.models.items() if isinstance(config, RecordedModel | ScriptedModelConfig)
    }
    # A table of answers or a script is a record itself: nobody is called where it is asked.
    asked = local_models(profile.model_copy(update={"models": {name: profile.models[name] for name in tables}}))
    models: dict[str, ChatModel] = {
        name: asked.get(name) or JournaledModel(name, identity(config, profile), journal, None)
        for name, config in profile.models.items()
    }
    index = source.index if source.index.is_dir() else profile.index_folder
    return CompositionOfExperts(profile, models, ensured_index(profile, index, ()), None)


def _calls(source: RunFolder, target: RunFolder, card: dict[str, Any], profile: Profile) -> dict[str, Any]:
    """The run's own bill where its own results are made again; another replay issued nothing."""
    own = target.root == source.root
    return bill(audit(card["journal"] or source.journal, card["run"]) if own else {}, profile)
