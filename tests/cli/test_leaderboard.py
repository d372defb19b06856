"""`coe-ray leaderboard`: the file of a finished run; a run with failed calls is refused."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from coe_ray.cli.main import main
from coe_ray.core.run_folder import RunFolder
from coe_ray.routing.leaderboard import Leaderboard

SUMMARY = {
    "incomplete": False, "data": "/data/questions", "split": "dev", "profile": "mine",
    "created": "2026-11-27T08:00:00+00:00", "commit": None,
}  # fmt: skip


def answer(question: str, system: str, outcome: str) -> dict[str, Any]:
    return {"question_id": question, "system": system, "expert": system, "task": "Deploy", "outcome": outcome}


def write_run(folder: Path, **changes: Any) -> None:
    folder.mkdir()
    run = RunFolder(folder)
    run.summary.write_bytes(orjson.dumps(SUMMARY | changes))
    outcomes = {"one": ["correct", "correct"], "two": ["correct", "wrong"], "coe": ["correct", "correct"]}
    run.write_answers(answer(f"q{n}", name, kind) for name, kinds in outcomes.items() for n, kind in enumerate(kinds))


def test_the_leaderboard_counts_the_experts_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "run")
    file = tmp_path / "board.json"
    assert main(["leaderboard", "--run", str(tmp_path / "run"), "--out", str(file)]) == 0
    board = Leaderboard.load(file)
    assert [(score.expert, score.correct, score.total) for score in board.ranked("Deploy")] == [
        ("one", 2, 2),
        ("two", 1, 2),
    ]
    assert board.provenance.data == "questions"
    assert capsys.readouterr().out == f"{file}: version {board.version}\n  Deploy: one (2 of 2)\n"


def test_a_run_with_failed_calls_makes_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "run", incomplete=True)
    assert main(["leaderboard", "--run", str(tmp_path / "run"), "--out", str(tmp_path / "board.json")]) == 2
    assert "has failed calls; repeat its bench command" in capsys.readouterr().err
    assert not (tmp_path / "board.json").exists()
