"""What all commands share: errors in a line with a remedy, exit codes, a traceback on request."""

import argparse

import pytest

from coe_ray.core.command_line import make_parser, positive_float, positive_int, run_command
from coe_ray.core.errors import ConfigError


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ConfigError("no such profile; give another"), 2, "bench: no such profile; give another\n"),
        (ConnectionError("nobody answers"), 2, "bench: nobody answers\n"),
        (KeyError("x"), 70, "bench: a defect of coe_ray: KeyError: 'x'; the same command with --debug shows where\n"),
        (KeyboardInterrupt(), 130, "bench: interrupted\n"),
    ],
)
def test_an_error_is_a_line_and_an_exit_code(
    error: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def main(_: object) -> int:
        raise error

    assert run_command("bench", main, make_parser("help").parse_args([])) == code
    assert capsys.readouterr().err == message


def test_debug_shows_where_an_error_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    def main(_: object) -> int:
        raise ConfigError("no")

    assert run_command("bench", main, make_parser("help").parse_args(["--debug"])) == 2
    errors = capsys.readouterr().err
    assert "Traceback" in errors
    assert errors.endswith("bench: no\n")


def test_the_result_of_main_is_the_exit_code() -> None:
    assert run_command("bench", lambda _: 1, make_parser(None).parse_args([])) == 1


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", ""])
def test_a_count_is_a_whole_number_from_1(text: str) -> None:
    assert positive_int("3") == 3
    with pytest.raises(argparse.ArgumentTypeError, match="not a whole number of at least 1"):
        positive_int(text)


@pytest.mark.parametrize("text", ["0", "-0.1", "nan", "soon"])
def test_a_duration_is_above_0(text: str) -> None:
    assert positive_float("0.5") == 0.5
    with pytest.raises(argparse.ArgumentTypeError, match="not a number above 0"):
        positive_float(text)
