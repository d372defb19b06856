"""`coe-ray index` and `threshold` on the profile that `init` writes: the first commands of a new user."""

from pathlib import Path

import pytest

from coe_ray.cli.main import main


def test_the_template_is_indexed_and_has_a_threshold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", str(tmp_path)])
    capsys.readouterr()
    profile = str(tmp_path / "profile.yaml")
    assert main(["index", "--profile", profile]) == 0
    assert capsys.readouterr().out.startswith(f"8 labelled questions in {tmp_path}/index")

    assert main(["threshold", "--profile", profile, "--accuracy", "0.5"]) == 0
    header, *steps, key, value = capsys.readouterr().out.splitlines()
    assert header.split() == ["confidence", "decided", "of", "these", "right"]
    assert steps
    assert key == "classifier:"
    assert 0 < float(value.removeprefix("  skip_llm_above: ")) <= 1

    assert main(["threshold", "--profile", profile, "--accuracy", "1.1"]) == 2
    assert capsys.readouterr().err.startswith("threshold: no threshold: ")
