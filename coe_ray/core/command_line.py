"""Conventions of all commands: help with examples, one-line errors with a remedy, exit codes, tracebacks by --debug."""

import argparse
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress

from coe_ray.core.errors import CoeError

EXIT_REFUSED, EXIT_DEFECT, EXIT_INTERRUPTED = 2, 70, 130
"""Exit codes: the command could not do what was asked; a defect of coe_ray (EX_SOFTWARE); Ctrl-C."""

LONGEST = 800
"""Characters of a defect's message. Errors from inside Ray span many lines, the cause last."""


def make_parser(doc: str | None) -> argparse.ArgumentParser:
    """Parser whose help is `doc` as it is written, with examples and exit codes, and which takes `--debug`."""
    parser = argparse.ArgumentParser()
    describe_command(parser, doc)
    return parser


def describe_command(parser: argparse.ArgumentParser, doc: str | None) -> None:
    """Give a parser the help and the `--debug` option that every command has."""
    parser.description = doc
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def run_command(name: str, main: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """Exit code of `main(args)`, or of the error that ended it, which is printed as one line on standard error."""
    try:
        return main(args)
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except (CoeError, ConnectionError) as error:
        _report(name, str(error), args)
        return EXIT_REFUSED
    except Exception as error:  # every other error is a defect: exit code 1 would say that the command finished
        message = " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST]
        _report(name, f"a defect of coe_ray: {message}; the same command with --debug shows where", args)
        return EXIT_DEFECT


def positive_int(text: str) -> int:
    """Type of an argument that counts something. Raises `ArgumentTypeError` below 1."""
    if not (text.strip().isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def positive_float(text: str) -> float:
    """Type of an argument such as a duration or a rate. Raises `ArgumentTypeError` for 0 and below."""
    with suppress(ValueError):
        if (number := float(text)) > 0:
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")


def _report(name: str, message: str, args: argparse.Namespace) -> None:
    if args.debug:
        traceback.print_exc()
    print(f"{name}: {message}", file=sys.stderr)
