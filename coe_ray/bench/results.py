"""Results of a run: answers/, dead_letters.parquet, summary.json, report.html.

All of it follows from the records and the journal, so it can be made again at any time, also by other routes.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import orjson

from coe_ray.bench.dead_letters import CLASSIFIER, DeadLetters
from coe_ray.bench.insights import Insights
from coe_ray.bench.report import render_report
from coe_ray.bench.scoring import Boards, Ledger, all_rows, cross_fitted, expert_rows
from coe_ray.core.files import write_atomic
from coe_ray.core.run_folder import RunFolder
from coe_ray.core.types import Question
from coe_ray.journal.audit import Audit
from coe_ray.profile.profile import Profile
from coe_ray.routing.pipeline import load_leaderboard


def write_results(
    folder: RunFolder, profile: Profile, questions: Mapping[str, Question], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Score the folder's records; returns the summary, with `facts` about how they were made."""
    boards, leaderboard = _boards(profile, questions, folder)
    ledger, insights = Ledger(), Insights(profile, questions, boards)
    folder.write_answers(ledger.count(all_rows(questions, folder.records(), boards)))
    insights.add(folder.records())
    letters = DeadLetters(
        {CLASSIFIER: profile.classifier.model} | {name: each.model for name, each in profile.experts.items()}
    )
    folder.write_dead_letters(letters.rows(folder.records()))
    summary = {
        **ledger.figures(questions),
        **insights.summary(),
        "failures": letters.kinds(),
        **facts,
        "profile": profile.name,
        "leaderboard": leaderboard,
        "version": version("coe_ray"),
        "commit": current_commit(),
        "command": " ".join(sys.argv),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_atomic(folder.root / "summary.json", orjson.dumps(summary, option=orjson.OPT_INDENT_2))
    write_atomic(folder.root / "report.html", render_report(summary).encode())
    return summary


def _boards(profile: Profile, questions: Mapping[str, Question], folder: RunFolder) -> tuple[Boards, dict[str, str]]:
    """The leaderboard that routes each question, and its description."""
    board = load_leaderboard(profile)
    tasks = {question.task for question in questions.values()}
    if board is not None and tasks <= set(board.tasks) and set(profile.experts) <= set(board.experts):
        own = board.narrowed(profile.experts)
        note = f"the profile's, made of {board.provenance.data} {board.provenance.split}".strip()
        return dict.fromkeys(questions, own), {"version": own.version, "mapping": "profile", "note": note}
    boards, whole = cross_fitted(expert_rows(questions, folder.records()), questions)
    if whole is None:
        return boards, {"version": "none", "mapping": "cross-fitted", "note": "no expert has answered anything yet"}
    note = "the profile has no leaderboard for these tasks: each question is routed by the other folds' answers"
    return boards, {"version": whole.version, "mapping": "cross-fitted", "note": note}


def make_bill(audits: Mapping[str, Audit], profile: Profile) -> dict[str, Any]:
    """`calls` of the summary: each model and all together, from the journal. `cost` is None where none has a price."""
    by_model = {
        name: {**asdict(audit), "cost": profile.token_cost(name, audit.prompt_tokens, audit.completion_tokens)}
        for name, audit in audits.items()
    }
    totals = {field.name: sum(getattr(audit, field.name) for audit in audits.values()) for field in fields(Audit)}
    costs = [bill["cost"] for bill in by_model.values() if bill["cost"] is not None]
    return {**totals, "cost": sum(costs) if costs else None, "by_model": by_model}


def current_commit() -> str | None:
    """The commit that runs: from the environment in a job, whose working folder is a copy without git."""
    if commit := os.environ.get("COE_RAY_COMMIT"):
        return commit
    git = ["git", "rev-parse", "--short", "HEAD"]
    output = subprocess.run(git, capture_output=True, text=True, check=False).stdout  # noqa: S603  # a constant command
    return output.strip() or None
