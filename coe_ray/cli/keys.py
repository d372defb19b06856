"""Add, list and remove the endpoint's API keys. A running endpoint follows within seconds.

    coe-ray keys add ci --requests-per-minute 600 --concurrency 8
    coe-ray keys list
    coe-ray keys remove ci

A key is printed once, when it is made. Only its hash is kept, in `keys.json` of `COE_RAY_HOME`, or in the `--file` that
a profile names as `access.keys`.

Exit codes: 0 done, 2 could not be done.
"""

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--file", type=Path, help="the file of hashed keys (default: keys.json in COE_RAY_HOME)")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = actions.add_parser("add", help="make a key and print it, once")
    add.add_argument("name", help="of the key's holder; shown in logs and metrics")
    add.add_argument("--requests-per-minute", type=int, metavar="N", help="instead of the profile's limit")
    add.add_argument("--concurrency", type=int, metavar="N", help="requests at once, instead of the profile's limit")
    actions.add_parser("list", help="names, limits and the first 8 digits of each hash")
    actions.add_parser("remove", help="withdraw a key").add_argument("name")


def run(args: argparse.Namespace) -> int:
    from coe_ray.core.api_keys import remove_key
    from coe_ray.profile.profile import home_folder

    file: Path = args.file or home_folder() / "keys.json"
    match args.action:
        case "add":
            _add(file, args)
        case "remove":
            remove_key(file, args.name)
            print(f"{file}: {args.name} is removed", file=sys.stderr)
        case _:
            _list(file)
    return 0


def _add(file: Path, args: argparse.Namespace) -> None:
    from coe_ray.core.api_keys import add_key

    key = add_key(file, args.name, requests_per_minute=args.requests_per_minute, concurrency=args.concurrency)
    print(key)  # alone on standard output, for scripts
    print(f"{file}: only its hash is kept; keep the key itself now, it cannot be shown again", file=sys.stderr)


def _list(file: Path) -> None:
    from coe_ray.core.api_keys import read_keys

    keys = read_keys(file)
    print(f"{'name':24} {'hash':8} {'requests/min':>12} {'at once':>8}  created")
    for key in keys:
        rate, at_once = (limit or "profile's" for limit in (key.requests_per_minute, key.concurrency))
        print(f"{key.name:24} {key.sha256[:8]} {rate!s:>12} {at_once!s:>8}  {key.created}")
