"""Build the retrieval index of a profile from the labelled examples that it names.

    coe-ray index --profile local-cpu
    coe-ray index --profile my.yaml

A running endpoint takes the new index within seconds and reads the old one until then.

Exit codes: 0 built, 2 could not be built.
"""

import argparse
import time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="local-cpu", help="a shipped profile or a YAML file")


def run(args: argparse.Namespace) -> int:
    from coe_ray.bench.indexing import build_profile_index
    from coe_ray.profile.profile import load_profile

    started = time.monotonic()
    profile = load_profile(args.profile)
    rows = build_profile_index(profile)
    print(f"{rows} labelled questions in {profile.index_folder} ({time.monotonic() - started:.1f} s)")
    return 0
