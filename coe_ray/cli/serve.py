"""Serve a profile on this machine until Ctrl-C: an OpenAI-compatible endpoint, its console, and the Ray below them.

    coe-ray serve --profile local-cpu
    coe-ray serve --profile my.yaml --port 8123

It starts a Ray of its own on loopback and stops it again. On a cluster use `serve deploy` instead (docs/cluster.md).

Exit codes: 0 stopped by Ctrl-C, 2 could not be served.
"""

import argparse
import time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="local-cpu", help="a shipped profile or a YAML file")
    parser.add_argument("--host", default="127.0.0.1", help="another only for a profile that asks for keys")
    parser.add_argument("--port", type=int, default=8000)


def run(args: argparse.Namespace) -> int:
    from coe_ray.cli.local_ray import local_ray, prepare_environment, require_free_ports

    prepare_environment()
    require_free_ports(args.host, args.port)
    from coe_ray.core.api_keys import read_keys
    from coe_ray.profile.profile import load_profile
    from coe_ray.serve.auth.loopback import require_keys_or_loopback

    profile = load_profile(args.profile)
    require_keys_or_loopback(profile.access, args.host)
    if profile.keys_file is not None:
        read_keys(profile.keys_file)  # raises now, not when Ray is up
    from coe_ray.bench.indexing import ensure_profile_index  # last, as it takes seconds to import

    print(f"retrieval index in {profile.index_folder}", flush=True)
    ensure_profile_index(profile)
    with local_ray():
        deploy_endpoint(args.profile, args.host, args.port)
        print(f"serving profile {args.profile} at http://{args.host}:{args.port}/v1 (Ctrl-C ends it)", flush=True)
        _wait_for_interrupt()
    print("stopped", flush=True)
    return 0


def deploy_endpoint(profile: str, host: str, port: int) -> None:
    """Deploy the profile on this process's Ray; returns when it answers. Raises `CoeError` where it cannot be."""
    from coe_ray.serve.app import AppArgs, deploy

    deploy(AppArgs(profile=profile), host, port)


def _wait_for_interrupt() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        print("\nstopping", flush=True)
