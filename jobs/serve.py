"""The endpoint on a Ray of its own, on loopback, until Ctrl-C.

    python -m jobs.serve --profile local-cpu
    python -m jobs.serve --profile my.yaml

Exit codes: 0 stopped by Ctrl-C, 2 could not be served.
"""

import argparse
import logging
import sys
import time

from ray import serve

from coe_ray.bench.indexing import ensure_profile_index
from coe_ray.core.command_line import make_parser, run_command
from coe_ray.profile.profile import load_profile
from coe_ray.serve.app import AppArgs, deploy
from jobs.local import connect, local_ray

HOST, PORT = "127.0.0.1", 8000
"""Loopback only: a profile may let everybody in."""


def main() -> int:
    made = make_parser(__doc__)
    made.add_argument("--profile", default="local-cpu", help="a shipped profile or a YAML file")
    return run_command("serve", _served, made.parse_args())


def _served(asked: argparse.Namespace) -> int:
    profile = load_profile(asked.profile)
    print(f"retrieval index in {profile.index_folder}", flush=True)
    ensure_profile_index(profile)
    with local_ray():
        start(asked.profile)
        print(f"serving profile {asked.profile} at http://{HOST}:{PORT}/v1 (Ctrl-C ends it)", flush=True)
        wait_for_interrupt()
    print("stopped", flush=True)
    return 0


def start(profile: str) -> None:
    """Deploy the profile; returns when it answers. Raises `CoeError` for a profile that cannot be served."""
    connect()
    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # it prints every deployment's options
    serve.start(http_options={"host": HOST, "port": PORT})
    deploy(AppArgs(profile=profile))


def wait_for_interrupt() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        print("\nstopping", flush=True)


if __name__ == "__main__":
    sys.exit(main())
