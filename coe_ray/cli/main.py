"""Route operations questions to the best model, and measure which one that is.

    coe-ray init my-team              a profile and question files to start from
    coe-ray serve --profile FILE      the endpoint on this machine
    coe-ray bench --profile FILE --data FOLDER --out RUN
    coe-ray COMMAND --help            options, examples and exit codes of a command

load, compare and bench-load measure coe_ray itself and run only from a checkout of it.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from coe_ray.core.command_line import EXIT_REFUSED, describe_command, run_command

COMMANDS = (
    "init", "serve", "bench", "leaderboard", "index", "threshold", "change", "keys", "reproduce", "demo",
)  # fmt: skip
"""Each is the module of its name beside this one, with `add_arguments(parser)` and `run(args)`; all import quickly."""
CHECKOUT_COMMANDS = {"load": "jobs.load", "compare": "jobs.compare", "bench-load": "jobs.bench_load"}
"""Modules outside the package, with the same two functions."""
ENVIRONMENT = {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0", "HF_HUB_DISABLE_TELEMETRY": "1"}
"""Of every command: Ray asks for a token, and neither Ray nor the hub reports to its makers."""
CHECKOUT = Path(__file__).parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (default: the process's own) name; returns its exit code."""
    set_environment()
    arguments = sys.argv[1:] if arguments is None else arguments
    modules = {name: import_module(f"coe_ray.cli.{name}") for name in COMMANDS}
    if arguments and arguments[0] in CHECKOUT_COMMANDS:
        name = arguments[0]
        if not (CHECKOUT / "jobs").is_dir():
            print(
                f"{name}: runs only from a checkout of coe_ray, whose jobs/ is not part of the installed package; "
                "clone the repository, `make install`, and run it there",
                file=sys.stderr,
            )
            return EXIT_REFUSED
        sys.path.insert(0, str(CHECKOUT))
        modules[name] = import_module(CHECKOUT_COMMANDS[name])
    args = make_parser(modules).parse_args(arguments)
    return run_command(args.command, args.run, args)


def make_parser(modules: dict[str, ModuleType]) -> argparse.ArgumentParser:
    """The parser of `coe-ray` with one subcommand for each module, whose docstring is its help."""
    parser = argparse.ArgumentParser(
        "coe-ray", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in modules.items():
        command = commands.add_parser(name, help=(module.__doc__ or "").splitlines()[0])
        describe_command(command, module.__doc__)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def set_environment() -> None:
    """Set what libraries read when they are imported. A variable that is set already stays."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # progress bars are for terminals, not for logs


if __name__ == "__main__":
    sys.exit(main())
