"""`coe-ray index` on the profile that `init` writes."""

from pathlib import Path

import pytest

from coe_ray.cli.main import main


def test_the_template_is_indexed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", str(tmp_path)])
    capsys.readouterr()
    profile = str(tmp_path / "profile.yaml")
    assert main(["index", "--profile", profile]) == 0
    assert capsys.readouterr().out.startswith(f"8 labelled questions in {tmp_path}/index")
