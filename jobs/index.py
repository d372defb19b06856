"""Build the retrieval index of a profile, of the labelled examples that it names.

    python jobs/index.py --profile local-cpu
    python jobs/index.py --profile my.yaml

A running endpoint takes the new one within seconds; the old one is read until it is whole.

Exit codes: 0 built, 2 could not be built.
"""

import argparse
import sys
import time

from coe_ray.bench.indexing import build_profile_index
from coe_ray.core.command_line import make_parser, run_command
from coe_ray.profile.profile import load_profile


def main() -> int:
    made = make_parser(__doc__)
    made.add_argument("--profile", default="local-cpu", help="a shipped profile or a YAML file")
    return run_command("index", _built, made.parse_args())


def _built(asked: argparse.Namespace) -> int:
    started = time.monotonic()
    profile = load_profile(asked.profile)
    rows = build_profile_index(profile)
    print(f"{rows} labelled questions in {profile.index_folder} ({time.monotonic() - started:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
