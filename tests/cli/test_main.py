"""The `coe-ray` command: every subcommand's help, light imports, commands that need a checkout."""

import subprocess
import sys
from pathlib import Path

import pytest

from coe_ray.cli import main as cli

ROOT = Path(__file__).parents[2]
HEAVY = {"ray", "torch", "lancedb", "pandas", "sklearn", "pyarrow", "numpy", "pydantic", "yaml", "aiohttp", "starlette"}


def run_python(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return result.stdout.strip()


@pytest.mark.parametrize("name", [*cli.COMMANDS, *cli.CHECKOUT_COMMANDS])
def test_the_help_shows_an_example_of_the_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main([name, "--help"])
    help_text = capsys.readouterr().out
    assert exit_.value.code == 0
    assert any(line.startswith(f"    coe-ray {name}") for line in help_text.splitlines())
    assert "Exit codes: 0" in help_text
    assert "\x1b" not in help_text


def test_every_command_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    help_text = capsys.readouterr().out
    assert [name for name in (*cli.COMMANDS, *cli.CHECKOUT_COMMANDS) if name not in help_text] == []


def test_the_help_waits_for_no_large_import() -> None:
    """Half a second at most is wanted; what takes longer is imported by the command that needs it."""
    modules = ", ".join([*(f"coe_ray.cli.{name}" for name in cli.COMMANDS), *cli.CHECKOUT_COMMANDS.values()])
    assert run_python(f"import sys, coe_ray.cli.main, {modules}; print(sorted(sys.modules.keys() & {HEAVY}))") == "[]"


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in (ROOT / "jobs").glob("*.py") if path.stem in cli.COMMANDS)
)
def test_a_script_in_jobs_is_the_same_command(name: str) -> None:
    result = subprocess.run(
        [sys.executable, f"jobs/{name}.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith(f"usage: coe-ray {name} ")
    assert not result.stderr


def test_a_command_of_a_checkout_says_so_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "CHECKOUT", tmp_path)
    assert cli.main(["load", "http://127.0.0.1:8000/v1"]) == 2
    assert capsys.readouterr().err.startswith("load: runs only from a checkout of coe_ray")


def test_an_error_names_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["index", "--profile", str(tmp_path / "none.yaml")]) == 2
    assert capsys.readouterr().err.startswith("index: no profile ")
