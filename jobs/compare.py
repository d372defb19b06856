"""Measure the endpoint beside its peers, on one machine and in one run.

    coe-ray compare                                  or `make compare`
    coe-ray compare --rounds 2 --seconds 4 --json compare.json

Measured are coe_ray's endpoint as it ships (keys, limits, logs and metrics on), LiteLLM's proxy, Portkey's gateway
(where node and npm are), a bare Ray Serve pass-through and the upstream itself, which answers at once. All are up the
whole time and get each load in turn, in several rounds. Prints the README's table; --json keeps every figure of every
round.

Exit codes: 0 measured, 1 measured with errors among the answers, 2 could not run.
"""

import argparse
import json
import os
import secrets
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from coe_ray.cli.main import main
from coe_ray.core.errors import DataError

if TYPE_CHECKING:
    from jobs.loading.comparison import Round, Row
    from jobs.loading.results import Target

KEY = "COE_COMPARED_KEY"
"""The environment variable through which a load gets a server's key."""
WORKERS = 2
BUSY = 0.25
"""Processes that want a core, for each core, from which others disturb the measurement."""
COMMAND = (sys.executable, "-m", "coe_ray.cli.main")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="of each load")
    parser.add_argument("--warm-up", type=float, default=2.0, metavar="S", help="before each load; does not count")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--litellm", type=Path, metavar="COMMAND", help="an installed one, instead of a private copy")
    parser.add_argument(
        "--portkey", type=Path, metavar="FOLDER", help="an installed package, instead of a private copy"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="every figure of every round")


def run(args: argparse.Namespace) -> int:
    from coe_ray.cli.local_ray import prepare_environment, require_ray_ports
    from coe_ray.core.files import write_atomic
    from jobs.loading.comparison import ComparisonResult, markdown
    from jobs.loading.peers import installed_litellm, installed_portkey, litellm_version, portkey_version

    prepare_environment()
    require_ray_ports()
    litellm = args.litellm or installed_litellm()
    portkey = installed_portkey(args.portkey)
    versions = {"litellm": litellm_version(litellm), "portkey": portkey and portkey_version(portkey)}
    about = _describe(args) | versions
    if about["load_average_before"] > BUSY * about["cores"]:
        _report_line(f"this machine is busy (load average {about['load_average_before']:.1f}): the figures show it")
    with (
        tempfile.TemporaryDirectory(prefix="coe_ray-compare-") as folder,
        _start_all(Path(folder), litellm, portkey) as servers,
    ):
        _warm_up(servers, args)
        rounds = [_measure_round(number, servers, args) for number in range(1, args.rounds + 1)]
    result = ComparisonResult(rounds)
    print("\n" + markdown(result, about))
    for name, count in result.errors.items():
        print(f"\n{count} errors in {name}: its figures say nothing.")
    if result.saturated:
        print(f"\nThe generator itself was saturated in {', '.join(result.saturated)}.")
    if args.json:
        content = about | {"verdicts": [asdict(verdict) for verdict in result.verdicts], "figures": rounds}
        write_atomic(args.json, json.dumps(content, indent=2).encode())
    return 1 if result.errors else 0


def _describe(args: argparse.Namespace) -> dict[str, Any]:
    command = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "commit": commit or "unknown",
        "date": time.strftime("%Y-%m-%d"),
        "command": shlex.join(["coe-ray", "compare", *sys.argv[2:]]),
        "cores": len(os.sched_getaffinity(0)),
        "load_average_before": os.getloadavg()[0],
        "workers": WORKERS,
        "seconds": args.seconds,
        "rounds": args.rounds,
    }


@contextmanager
def _start_all(folder: Path, litellm: Path, portkey: Path | None) -> "Iterator[dict[str, Target]]":
    """Everything that is compared, by name, up and answering; without Portkey's gateway where there is none."""
    from coe_ray.cli.local_ray import local_ray
    from jobs.loading.endpoint import EXPERTS, deploy_both, make_key, write_profile
    from jobs.loading.peers import MODEL, free_port, start_litellm, start_portkey, start_upstream
    from jobs.loading.results import Target

    with ExitStack() as stack:
        direct = stack.enter_context(start_upstream())
        profile, key = write_profile(folder, direct), make_key(folder)
        _report_line("retrieval index")
        _run_command([*COMMAND, "index", "--profile", str(profile)])
        _report_line("LiteLLM's proxy")
        peers = {"litellm": stack.enter_context(start_litellm(litellm, direct, folder, WORKERS))}
        if portkey is not None:
            _report_line("Portkey's gateway")
            peers["portkey"] = stack.enter_context(start_portkey(portkey, direct, folder))
        _report_line("a local Ray with the endpoint and a bare pass-through")
        stack.enter_context(local_ray())
        ours, bare = deploy_both(profile, direct, free_port())
        yield {
            "ours": Target(ours, EXPERTS[0], key),
            **peers,
            "bare": Target(bare, MODEL),
            "direct": Target(direct, MODEL),
        }


def _warm_up(servers: "dict[str, Target]", args: argparse.Namespace) -> None:
    """Load each once without measuring: LiteLLM's workers import half of what they need with their first request."""
    from jobs.loading.comparison import ROWS

    for name in servers:
        results = _load(ROWS[0], servers[name], args)
        _report_line(f"warmed:  {name:<21} {results['requests_per_s']:8.1f}/s, {results['errors']['total']} errors")


def _measure_round(number: int, servers: "dict[str, Target]", args: argparse.Namespace) -> "Round":
    from jobs.loading.comparison import ENCODER, ROWS
    from jobs.loading.encoder_rate import measure_encoder

    figures = {}
    for row in ROWS:
        for name in (name for name in row.servers if name in servers):
            results = figures[f"{row.name}/{name}"] = _load(row, servers[name], args)
            p50 = (results["latency_ms"] or {}).get("p50", "–")
            _report_line(f"round {number}: {row.name:<12} {name:<8} {results['requests_per_s']:8.1f}/s, p50 {p50} ms")
    rate = measure_encoder(secrets.token_hex(4), args.seconds)
    _report_line(f"round {number}: encoder alone {rate:.1f} texts/s")
    return figures | {ENCODER: {"texts_per_s": rate}}


def _load(row: "Row", target: "Target", args: argparse.Namespace) -> dict[str, Any]:
    """One load, made by a process of its own as anyone would start it."""
    command = [*COMMAND, "load", target.base_url, "--model", target.model if row.expert else "coe"]
    command += ["--clients", str(row.clients), "--seconds", str(args.seconds), "--warm-up", str(args.warm_up)]
    command += ["--json", "-", *(["--repeat", str(row.repeat)] if row.repeat else [])]
    command += [f"--header={name}={value}" for name, value in target.headers]
    command += ["--key-env", KEY] if target.key else []
    environment = {KEY: target.key} if target.key else {}
    results: dict[str, Any] = json.loads(_run_command(command, environment, may_end_with=(0, 1)))
    return results


def _run_command(
    command: list[str], environment: Mapping[str, str] = MappingProxyType({}), may_end_with: tuple[int, ...] = (0,)
) -> str:
    """What it prints. Raises `DataError` where it ends otherwise."""
    process = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    if process.returncode not in may_end_with:
        raise DataError(f"{shlex.join(command)} ended with {process.returncode}:\n{process.stderr[-2000:]}")
    return process.stdout


def _report_line(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(["compare", *sys.argv[1:]]))
