"""What a run folder says in the end: answers/, dead_letters.parquet, summary.json, report.html.

All of it follows from the records and the journal, so it can be made again at any time, and by other routes.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import orjson

from coe_ray.bench.dead_letters import CLASSIFIER, DeadLetters
from coe_ray.bench.insights import Insights
from coe_ray.bench.report import render_report
from coe_ray.bench.scoring import (
    Boards,
    Ledger,
    OneBoard,
    all_rows,
    cross_fitted,
    expert_rows,
)
from coe_ray.core.files import write_atomic
from coe_ray.core.run_folder import QuestionRecord, RunFolder
from coe_ray.core.types import Question
from coe_ray.profile.profile import Profile
from coe_ray.routing.pipeline import load_leaderboard


def write_results(
    folder: RunFolder, profile: Profile, questions: Mapping[str, Question], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Score the folder's records; `facts` of how they were made go into the summary, which is returned."""
    boards, leaderboard = _mapping(profile, questions, folder)
    ledger, insights = Ledger(), Insights(profile, questions, boards)
    folder.write_answers(ledger.through(all_rows(questions, _records(folder, questions), boards)))
    insights.take(_records(folder, questions))
    letters = DeadLetters(_models(profile))
    folder.write_dead_letters(letters.rows(_records(folder, questions)))
    summary = {
        **ledger.figures(questions),
        **insights.told(),
        "failures": letters.kinds(),
        **facts,
        "profile": profile.name,
        "leaderboard": leaderboard,
        "version": version("coe_ray"),
        "commit": commit(),
        "command": " ".join(sys.argv),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_atomic(folder.root / "summary.json", orjson.dumps(summary, option=orjson.OPT_INDENT_2))
    write_atomic(folder.root / "report.html", render_report(summary).encode())
    return summary


def _records(folder: RunFolder, questions: Mapping[str, Question]) -> Iterator[QuestionRecord]:
    return (record for record in folder.records() if record["id"] in questions)


def _models(profile: Profile) -> dict[str, str]:
    """The model behind each system that is called."""
    return {CLASSIFIER: profile.classifier.model} | {name: each.model for name, each in profile.experts.items()}


def _mapping(profile: Profile, questions: Mapping[str, Question], folder: RunFolder) -> tuple[Boards, dict[str, str]]:
    """The leaderboard that routes each question, and what to say of it."""
    board = load_leaderboard(profile)
    tasks = {question.task for question in questions.values()}
    if board is not None and tasks <= set(board.tasks) and set(profile.experts) <= set(board.experts):
        own = board.narrowed(profile.experts)
        note = f"the profile's, made of {board.provenance.data} {board.provenance.split}".strip()
        return OneBoard(own), {"version": own.version, "mapping": "profile", "note": note}
    boards = cross_fitted(expert_rows(questions, _records(folder, questions)), questions)
    if boards.whole is None:
        return boards, {"version": "none", "mapping": "cross-fitted", "note": "no expert has answered anything yet"}
    note = "the profile has no leaderboard for these tasks: each question is routed by the other folds' answers"
    return boards, {"version": boards.whole.version, "mapping": "cross-fitted", "note": note}


def commit() -> str | None:
    """The commit that runs: of the environment in a job, whose working folder is a copy without git."""
    if stated := os.environ.get("COE_RAY_COMMIT"):
        return stated
    git = ["git", "rev-parse", "--short", "HEAD"]
    asked = subprocess.run(git, capture_output=True, text=True, check=False)  # noqa: S603  # a constant command
    return asked.stdout.strip() or None
