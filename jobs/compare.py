"""Measure the endpoint beside its peers, on one machine and in one run.

    coe-ray compare                                  or `make compare`
    coe-ray compare --rounds 2 --seconds 4 --json compare.json

Measured are coe_ray's endpoint as it ships (keys, limits, logs and metrics on), LiteLLM's proxy, a bare Ray Serve
pass-through and the upstream itself, which answers at once. All are up the whole time and get each load in turn, in
several rounds. Prints the README's table; --json keeps every figure of every round.

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
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from coe_ray.cli.main import main
from coe_ray.core.errors import DataError

if TYPE_CHECKING:
    from jobs.loading.comparison import Round, Row

KEY = "COE_COMPARED_KEY"
"""The environment variable through which a load gets a server's key."""
WORKERS = 2
BUSY = 0.25
"""Processes that want a core, for each core, from which others disturb the measurement."""
COMMAND = (sys.executable, "-m", "coe_ray.cli.main")


@dataclass(frozen=True, slots=True)
class Servers:
    """The base URLs of what is compared, by name, and the keys of those that ask for one."""

    urls: dict[str, str]
    keys: dict[str, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="of each load")
    parser.add_argument("--warm-up", type=float, default=2.0, metavar="S", help="before each load; does not count")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--litellm", type=Path, metavar="COMMAND", help="an installed one, instead of a private copy")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every figure of every round")


def run(args: argparse.Namespace) -> int:
    from coe_ray.cli.local_ray import prepare_environment, require_ray_ports
    from coe_ray.core.files import write_atomic
    from jobs.loading.comparison import ComparisonResult, markdown
    from jobs.loading.peers import installed_litellm, version_of

    prepare_environment()
    require_ray_ports()
    litellm = args.litellm or installed_litellm()
    about = _describe(args, version_of(litellm))
    if about["load_average_before"] > BUSY * about["cores"]:
        _report_line(f"this machine is busy (load average {about['load_average_before']:.1f}): the figures show it")
    with tempfile.TemporaryDirectory(prefix="coe_ray-compare-") as folder, _start_all(Path(folder), litellm) as servers:
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


def _describe(args: argparse.Namespace, litellm_version: str) -> dict[str, Any]:
    command = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "commit": commit or "unknown",
        "date": time.strftime("%Y-%m-%d"),
        "command": shlex.join(["coe-ray", "compare", *sys.argv[2:]]),
        "cores": len(os.sched_getaffinity(0)),
        "load_average_before": os.getloadavg()[0],
        "litellm": litellm_version,
        "workers": WORKERS,
        "seconds": args.seconds,
        "rounds": args.rounds,
    }


@contextmanager
def _start_all(folder: Path, litellm: Path) -> Iterator[Servers]:
    """Everything that is compared, up and answering."""
    from coe_ray.cli.local_ray import local_ray
    from jobs.loading.endpoint import deploy_both, make_key, write_profile
    from jobs.loading.peers import free_port, start_litellm, start_upstream

    with start_upstream() as direct:
        profile = write_profile(folder, direct)
        keys = {"ours": make_key(folder), "litellm": f"sk-{secrets.token_hex(32)}"}
        _report_line("retrieval index")
        _run_command([*COMMAND, "index", "--profile", str(profile)])
        _report_line("LiteLLM's proxy")
        with start_litellm(litellm, direct, keys["litellm"], folder, WORKERS) as peer:
            _report_line("a local Ray with the endpoint and a bare pass-through")
            with local_ray():
                ours, bare = deploy_both(profile, direct, free_port())
                yield Servers({"ours": ours, "litellm": peer, "bare": bare, "direct": direct}, keys)


def _warm_up(servers: Servers, args: argparse.Namespace) -> None:
    """Load each once without measuring: LiteLLM's workers import half of what they need with their first request."""
    from jobs.loading.comparison import ROWS

    for name in ROWS[0].servers:
        results = _load(ROWS[0], name, servers, args)
        _report_line(f"warmed:  {name:<21} {results['requests_per_s']:8.1f}/s, {results['errors']['total']} errors")


def _measure_round(number: int, servers: Servers, args: argparse.Namespace) -> "Round":
    from jobs.loading.comparison import ENCODER, ROWS
    from jobs.loading.encoder_rate import measure_encoder

    figures = {}
    for row in ROWS:
        for name in row.servers:
            results = figures[f"{row.name}/{name}"] = _load(row, name, servers, args)
            p50 = (results["latency_ms"] or {}).get("p50", "–")
            _report_line(f"round {number}: {row.name:<12} {name:<8} {results['requests_per_s']:8.1f}/s, p50 {p50} ms")
    rate = measure_encoder(secrets.token_hex(4), args.seconds)
    _report_line(f"round {number}: encoder alone {rate:.1f} texts/s")
    return figures | {ENCODER: {"texts_per_s": rate}}


def _load(row: "Row", name: str, servers: Servers, args: argparse.Namespace) -> dict[str, Any]:
    """One load, made by a process of its own as anyone would start it."""
    from jobs.loading.endpoint import EXPERTS
    from jobs.loading.peers import MODEL

    model = MODEL if name != "ours" else EXPERTS[0] if row.expert else "coe"
    command = [*COMMAND, "load", servers.urls[name], "--model", model]
    command += ["--clients", str(row.clients), "--seconds", str(args.seconds), "--warm-up", str(args.warm_up)]
    command += ["--json", "-", *(["--repeat", str(row.repeat)] if row.repeat else [])]
    key = servers.keys.get(name)
    command += ["--key-env", KEY] if key else []
    results: dict[str, Any] = json.loads(_run_command(command, {KEY: key} if key else {}, may_end_with=(0, 1)))
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
