"""`coe-ray reproduce`: the plan of a study without a call, and what it needs to begin one."""

import pytest

from coe_ray.cli.main import main


def test_a_study_needs_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "--profile", "local-cpu"]) == 2
    assert capsys.readouterr().err == "reproduce: --out is missing: the folder of the study\n"


def test_a_dry_run_prints_the_calls_and_makes_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "--profile", "local-cpu", "--per-task", "1", "--dry-run"]) == 0
    output = capsys.readouterr().out
    assert "local-cpu" in output
    assert "13 questions, 3 experts" in output
    assert output.endswith("nothing was called\n")
