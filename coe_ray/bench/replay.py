"""A replay: a finished run's figures again, or by another leaderboard or profile, without a single call.

What the run's records cannot tell is read out of its journal; what the journal does not have is missing, and said.
"""

import asyncio
import itertools
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq

from coe_ray.bench.billing import make_bill
from coe_ray.bench.indexing import ensured_index
from coe_ray.bench.results import write_results
from coe_ray.bench.results_table import evaluate_question, has_failed
from coe_ray.bench.run import adopt_tasks, settings_fingerprint
from coe_ray.core.chat_model import ChatModel
from coe_ray.core.errors import ConfigError
from coe_ray.core.files import hold_lock, write_atomic
from coe_ray.core.run_folder import QUESTIONS_PER_FILE, QuestionRecord, RunFolder, read_questions, write_records
from coe_ray.core.types import Question, Task
from coe_ray.journal.audit import audit_calls
from coe_ray.journal.journal import Journal
from coe_ray.llm.factory import make_local_models, wrap_in_journal
from coe_ray.profile.models import RecordedModel, ScriptedModelConfig
from coe_ray.profile.profile import LeaderboardConfig, Profile, load_profile
from coe_ray.routing.pipeline import CompositionOfExperts

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """The run to replay; another profile or leaderboard needs an `out` of its own."""

    run: Path
    out: Path | None = None
    profile: str | None = None
    leaderboard: Path | None = None


def replay(order: ReplayRequest, say: Say) -> dict[str, Any]:
    """The summary, which is also written. Raises `CoeError`. Needs no Ray and no network."""
    started = time.monotonic()
    source, target = RunFolder(order.run), RunFolder(_target(order))
    card = source.card()
    profile = _profile(order, card, say)
    questions = {question.id: question for question in read_questions(source.questions)}
    with hold_lock(target.lock):
        _fill(source, target, card, profile, questions, say)
        facts = {
            "calls": _calls(source, target, card, profile),
            "rejected": pq.read_metadata(source.rejected).num_rows,
            "seconds": round(time.monotonic() - started, 1),
            "data": card["data"],
            "split": card["split"],
            "replay": str(source.root),
        }
        return write_results(target, profile, questions, facts)


def _target(order: ReplayRequest) -> Path:
    if order.out is None and (order.profile or order.leaderboard):
        raise ConfigError(
            "give --out for a replay by another profile or leaderboard: it must not replace the run's own results"
        )
    return order.out or order.run


def _profile(order: ReplayRequest, card: dict[str, Any], say: Say) -> Profile:
    profile = load_profile(order.profile or card["profile"]).without_study
    if order.leaderboard is not None:
        path = str(order.leaderboard.absolute())
        profile = profile.model_copy(update={"leaderboard": LeaderboardConfig(path=path)})
    return adopt_tasks(profile, tuple(Task(**task) for task in card["tasks"]), say)


def _fill(
    source: RunFolder,
    target: RunFolder,
    card: dict[str, Any],
    profile: Profile,
    questions: dict[str, Question],
    say: Say,
) -> None:
    """Bring every record that can be had into the target: the run's own, and those that its journal tells."""
    settings = settings_fingerprint(profile)
    same = settings == card["settings"]
    known = source.records() if same else iter(())
    own = target.root == source.root
    if own and not same:
        raise ConfigError(
            f"profile {profile.name!r} has changed since the run; "
            "give --out: its results must not replace the run's own"
        )
    if not own:
        _begin(target, source, card, settings)
        known = _kept(known, target.rows, target.failures)
    missing = questions.keys() - {record["id"] for record in known}
    if missing:
        say(f"{len(missing)} of {len(questions)} questions are read out of the journal")
        rest = [questions[id_] for id_ in sorted(missing)]
        with closing(Journal.open(_journal(source, card))) as journal:
            coe = _pipeline(_index(source, card), profile, journal)
            # In the run itself what has no checkpoint is no row: the next start of the run looks at it again.
            for _ in _kept(_examined(coe, rest), target.failures if own else target.rows, target.failures):
                pass


def _begin(target: RunFolder, source: RunFolder, card: dict[str, Any], settings: str) -> None:
    """A folder of its own, made anew. Raises `ConfigError` where a run lives in it."""
    path = target.root / "run.json"
    if path.is_file() and "replay" not in target.card():
        raise ConfigError(f"{target.root}: holds a run; give another --out for the replay")
    # The run's journal and index stay where they are: a replay of this replay finds them there.
    elsewhere = {"journal": _journal(source, card), "index": str(_index(source, card)), "replay": str(source.root)}
    content = {**card, "settings": settings, **elsewhere}
    write_atomic(path, orjson.dumps(content, option=orjson.OPT_INDENT_2))
    for folder in (target.rows, target.failures):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    shutil.copytree(source.questions, target.questions, dirs_exist_ok=True)
    shutil.copy(source.rejected, target.rejected)


def _kept(records: Iterable[QuestionRecord], finished: Path, failed: Path) -> Iterator[QuestionRecord]:
    """The same records, each written down on its way: among the finished ones, or those with a failed call."""
    left = iter(records)
    while batch := list(itertools.islice(left, QUESTIONS_PER_FILE)):
        write_records(finished, [record for record in batch if not has_failed(record)])
        write_records(failed, [record for record in batch if has_failed(record)])
        yield from batch


def _examined(coe: CompositionOfExperts, questions: list[Question]) -> Iterator[QuestionRecord]:
    async def together(part: list[Question]) -> list[QuestionRecord]:
        return await asyncio.gather(*(evaluate_question(coe, question) for question in part))

    with asyncio.Runner() as runner:
        for start in range(0, len(questions), QUESTIONS_PER_FILE):
            yield from runner.run(together(questions[start : start + QUESTIONS_PER_FILE]))


def _journal(source: RunFolder, card: dict[str, Any]) -> str:
    return card["journal"] or str(source.journal)


def _index(source: RunFolder, card: dict[str, Any]) -> Path:
    return Path(card.get("index", source.index))


def _pipeline(index: Path, profile: Profile, journal: Journal) -> CompositionOfExperts:
    """The profile's pipeline, each model replaced by what the journal has of it."""
    tables = {
        name for name, config in profile.models.items() if isinstance(config, RecordedModel | ScriptedModelConfig)
    }
    # A table of answers or a script is a record itself: nobody is called where it is asked.
    asked = make_local_models(profile.model_copy(update={"models": {name: profile.models[name] for name in tables}}))
    models: dict[str, ChatModel] = {
        name: asked.get(name) or wrap_in_journal(profile, name, journal, None) for name in profile.models
    }
    index = index if index.is_dir() else profile.index_folder
    return CompositionOfExperts(profile, models, ensured_index(profile, index, ()), None)


def _calls(source: RunFolder, target: RunFolder, card: dict[str, Any], profile: Profile) -> dict[str, Any]:
    """The run's own bill where its own results are made again; another replay issued nothing."""
    own = target.root == source.root
    return make_bill(audit_calls(_journal(source, card), card["run"]) if own else {}, profile)
