"""Every job's manners: help with examples and exit codes, errors in a line with a remedy, a traceback on request."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from coe_ray.core import command_line as manners
from coe_ray.core.errors import ConfigError

JOBS = Path(__file__).parents[2] / "jobs"
NO_JOBS = ("__init__", "local")
NAMES = sorted(path.stem for path in JOBS.glob("*.py") if path.stem not in NO_JOBS)


@pytest.mark.parametrize("name", NAMES)
def test_the_help_shows_examples(name: str) -> None:
    doc = importlib.import_module(f"jobs.{name}").__doc__
    assert doc
    commands = [line for line in doc.splitlines() if line.startswith("    ")]
    assert any(f"jobs.{name}" in line or f"jobs/{name}.py" in line for line in commands)


def test_help_goes_to_standard_output_without_a_terminal() -> None:
    command = [sys.executable, "-m", "jobs.index", "--help"]
    said = subprocess.run(command, cwd=JOBS.parent, capture_output=True, text=True, check=True)
    assert "Exit codes: 0 built" in said.stdout
    assert "\x1b" not in said.stdout
    assert not said.stderr


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigError("no such profile; give another"), 2, "job: no such profile; give another\n"),
        (ConnectionError("nobody answers"), 2, "job: nobody answers\n"),
        (KeyError("x"), 70, "job: a defect of coe_ray: KeyError: 'x'; the same command with --debug shows where\n"),
        (KeyboardInterrupt(), 130, "job: interrupted\n"),
    ],
)
def test_an_error_is_a_line_and_an_exit_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(_: object) -> int:
        raise error

    assert manners.run_command("job", work, manners.make_parser("what").parse_args([])) == code
    assert capsys.readouterr().err == said


def test_who_asks_is_shown_where_an_error_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    def work(_: object) -> int:
        raise ConfigError("no")

    assert manners.run_command("job", work, manners.make_parser("what").parse_args(["--debug"])) == 2
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert said.endswith("job: no\n")


def test_what_the_work_returns_is_the_exit_code() -> None:
    assert manners.run_command("job", lambda _: 1, manners.make_parser(None).parse_args([])) == 1
