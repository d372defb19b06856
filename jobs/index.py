"""Build the retrieval index of a profile: `python jobs/index.py --profile local-cpu`."""

import argparse
import sys
import time

from coe_ray.bench.index import build_profile_index
from coe_ray.config import load_profile
from coe_ray.errors import CoeError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="local-cpu", help="a shipped profile or a YAML file")
    arguments = parser.parse_args()
    started = time.monotonic()
    try:
        profile = load_profile(arguments.profile)
        rows = build_profile_index(profile)
    except CoeError as error:
        print(f"index: {error}", file=sys.stderr)
        return 2
    print(f"{rows} labelled questions in {profile.index_folder} ({time.monotonic() - started:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
