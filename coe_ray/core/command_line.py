"""What all jobs do alike: help with examples, errors with a remedy, exit codes, and a traceback only for who asks."""

import argparse
import sys
import traceback
from collections.abc import Callable

from coe_ray.core.errors import CoeError

EXIT_REFUSED, EXIT_DEFECT, EXIT_INTERRUPTED = 2, 70, 130
"""Exit codes: nothing could be done as asked; what should not have happened (EX_SOFTWARE); Ctrl-C."""

LONGEST = 800
"""Characters of what a defect says of itself. What dies within Ray is told of over many lines, the cause last."""


def make_parser(doc: str | None) -> argparse.ArgumentParser:
    """Its help is the job's own docstring, examples and all."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--debug", action="store_true", help="show where an error comes from")
    return made


def run_command(job: str, work: Callable[[argparse.Namespace], int], asked: argparse.Namespace) -> int:
    """The exit code of `work`, or of how it failed; what went wrong is said in a line on standard error."""
    try:
        return work(asked)
    except KeyboardInterrupt:
        print(f"{job}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except (CoeError, ConnectionError) as error:
        _tell(job, str(error), asked)
        return EXIT_REFUSED
    except Exception as error:  # a defect: 1 would say that the job is over
        what = " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST]
        _tell(job, f"a defect of coe_ray: {what}; the same command with --debug shows where", asked)
        return EXIT_DEFECT


def _tell(job: str, what: str, asked: argparse.Namespace) -> None:
    if asked.debug:
        traceback.print_exc()
    print(f"{job}: {what}", file=sys.stderr)
