"""`coe-ray bench`: options that do not go together are refused before anything is read."""

import pytest

from coe_ray.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "bench: --out is missing"),
        (["--replay", "run", "--journal", "calls"], "bench: --journal and --retry-failed are for runs"),
        (["--replay", "run", "--retry-failed"], "bench: --journal and --retry-failed are for runs"),
        (["--out", "run", "--leaderboard", "board.json"], "bench: --leaderboard goes with --replay"),
        (["--out", "run", "--journal", "s3://bucket/calls"], "bench: journal s3://…: object stores hold no journal"),
        (["--replay", "/nowhere/run"], "bench: /nowhere/run: no run.json there"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == 2
    assert capsys.readouterr().err.startswith(message)


def test_questions_are_counted_from_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["bench", "--out", "run", "--per-task", "0"])
    assert exit_.value.code == 2
    assert "'0' is not a whole number of at least 1" in capsys.readouterr().err
