"""The endpoint's API keys: make one, list them, take one away. A running endpoint sees it within seconds.

    python jobs/keys.py add ci --requests-per-minute 600 --concurrency 8
    python jobs/keys.py list
    python jobs/keys.py remove ci

A key is printed once, when it is made. Only its hash is kept, in `keys.json` of `COE_RAY_HOME`, or in the `--file` that
a profile names as `access.keys`.
"""

import argparse
import sys
from pathlib import Path

from coe_ray.core.api_keys import add_key, read_keys, remove_key
from coe_ray.core.command_line import make_parser, run_command
from coe_ray.profile.profile import home_folder


def main(arguments: list[str] | None = None) -> int:
    """0, or 2 where it could not be done."""
    return run_command("keys", _done, _parser().parse_args(arguments))


def _done(asked: argparse.Namespace) -> int:
    file: Path = asked.file or home_folder() / "keys.json"
    match asked.command:
        case "add":
            _add(file, asked)
        case "remove":
            remove_key(file, asked.name)
            print(f"{file}: {asked.name} is removed", file=sys.stderr)
        case _:
            _list(file)
    return 0


def _parser() -> argparse.ArgumentParser:
    made = make_parser(__doc__)
    made.add_argument("--file", type=Path, help="the file of hashed keys (default: keys.json in COE_RAY_HOME)")
    commands = made.add_subparsers(dest="command", required=True)
    add = commands.add_parser("add", help="make a key and print it, once")
    add.add_argument("name", help="whose it is; it stands in logs and metrics")
    add.add_argument("--requests-per-minute", type=int, metavar="N", help="instead of the profile's")
    add.add_argument("--concurrency", type=int, metavar="N", help="requests at once, instead of the profile's")
    commands.add_parser("list", help="names, limits and the first 8 digits of each hash")
    commands.add_parser("remove", help="take a key away").add_argument("name")
    return made


def _add(file: Path, asked: argparse.Namespace) -> None:
    key = add_key(file, asked.name, requests_per_minute=asked.requests_per_minute, concurrency=asked.concurrency)
    print(key)  # alone on standard output, for a script to take
    print(f"{file}: only its hash is kept; keep the key itself now, it cannot be shown again", file=sys.stderr)


def _list(file: Path) -> None:
    keys = read_keys(file)
    print(f"{'name':24} {'hash':8} {'requests/min':>12} {'at once':>8}  created")
    for key in keys:
        rate, at_once = (limit or "profile's" for limit in (key.requests_per_minute, key.concurrency))
        print(f"{key.name:24} {key.sha256[:8]} {rate!s:>12} {at_once!s:>8}  {key.created}")


if __name__ == "__main__":
    sys.exit(main())
