"""Our endpoint beside its peers, on one machine and in one run.

    python -m jobs.compare                                  or `make compare`
    python -m jobs.compare --rounds 2 --seconds 4 --json compare.json

Measured are our endpoint with what it ships with (keys, limits, logs and metrics on), LiteLLM's proxy, a bare Ray Serve
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
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from coe_ray.core.command_line import make_parser, run_command
from coe_ray.core.errors import ConfigError, DataError
from coe_ray.core.files import write_atomic
from jobs.loading.contest import ENCODER, ROWS, Result, Round, Row, markdown
from jobs.loading.encoding import encoder_rate
from jobs.loading.ours import EXPERTS, make_key, serve_both, write_profile
from jobs.loading.peers import MODEL, free_port, installed_litellm, litellm, upstream, version_of
from jobs.local import local_ray

KEY = "COE_COMPARED_KEY"
"""The environment variable through which a load gets a contestant's key."""
WORKERS = 2
BUSY = 0.25
"""Processes that want a core, for each core, from which others disturb the measurement."""
WANTED = ("RAY_SERVE_ENABLE_HA_PROXY", "RAY_SERVE_THROUGHPUT_OPTIMIZED")


@dataclass(frozen=True, slots=True)
class Contestants:
    """Their base URLs by name, and the keys of those that ask for one."""

    urls: dict[str, str]
    keys: dict[str, str]


def main() -> int:
    return run_command("compare", _compared, _asked())


def _asked() -> argparse.Namespace:
    made = make_parser(__doc__)
    made.add_argument("--seconds", type=float, default=10.0, metavar="S", help="of each load")
    made.add_argument("--warm-up", type=float, default=2.0, metavar="S", help="before each load; does not count")
    made.add_argument("--rounds", type=int, default=3, metavar="N")
    made.add_argument("--litellm", type=Path, metavar="COMMAND", help="an installed one, instead of our own")
    made.add_argument("--json", type=Path, metavar="FILE", help="every figure of every round")
    return made.parse_args()


def _compared(asked: argparse.Namespace) -> int:
    if missing := [name for name in WANTED if os.environ.get(name) != "1"]:
        raise ConfigError(f"{missing[0]}=1 is not set, and Ray must find it when it starts: use `make compare`")
    command = asked.litellm or installed_litellm()
    about = _about(asked, version_of(command))
    if about["load_average_before"] > BUSY * about["cores"]:
        _say(f"this machine is busy (load average {about['load_average_before']:.1f}): the figures will show it")
    with tempfile.TemporaryDirectory(prefix="coe_ray-compare-") as folder, _started(Path(folder), command) as all_of:
        _warm(all_of, asked)
        rounds = [_round(number, all_of, asked) for number in range(1, asked.rounds + 1)]
    result = Result(rounds)
    print("\n" + markdown(result, about))
    for name, count in result.errors.items():
        print(f"\n{count} errors in {name}: its figures say nothing.")
    if result.saturated:
        print(f"\nThe generator itself was saturated in {', '.join(result.saturated)}.")
    if asked.json:
        told = about | {"verdicts": [_plain(each) for each in result.verdicts], "figures": rounds}
        write_atomic(asked.json, json.dumps(told, indent=2).encode())
    return 1 if result.errors else 0


def _plain(verdict: Any) -> dict[str, Any]:
    return {name: getattr(verdict, name) for name in verdict.__slots__}


def _about(asked: argparse.Namespace, litellm_version: str) -> dict[str, Any]:
    described = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(described, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "commit": commit or "unknown",
        "date": time.strftime("%Y-%m-%d"),
        "command": shlex.join(["python", "-m", "jobs.compare", *sys.argv[1:]]),
        "cores": len(os.sched_getaffinity(0)),
        "load_average_before": os.getloadavg()[0],
        "litellm": litellm_version,
        "workers": WORKERS,
        "seconds": asked.seconds,
        "rounds": asked.rounds,
    }


@contextmanager
def _started(folder: Path, command: Path) -> Iterator[Contestants]:
    """Everything that is compared, up and answering."""
    with upstream() as direct:
        profile = write_profile(folder, direct)
        keys = {"ours": make_key(folder), "litellm": f"sk-{secrets.token_hex(32)}"}
        _say("retrieval index")
        _run([sys.executable, "-m", "jobs.index", "--profile", str(profile)])
        _say("LiteLLM's proxy")
        with litellm(command, direct, keys["litellm"], folder, WORKERS) as peer:
            _say("a Ray of our own, with our endpoint and a bare pass-through")
            with local_ray():
                ours, bare = serve_both(profile, direct, free_port())
                yield Contestants({"ours": ours, "litellm": peer, "bare": bare, "direct": direct}, keys)


def _warm(compared: Contestants, asked: argparse.Namespace) -> None:
    """The first load of each is not measured: LiteLLM's workers import half of what they need only then."""
    for who in ROWS[0].who:
        told = _loaded(ROWS[0], who, compared, asked)
        _say(f"warmed:  {who:<21} {told['requests_per_s']:8.1f}/s, {told['errors']['total']} errors")


def _round(number: int, compared: Contestants, asked: argparse.Namespace) -> Round:
    figures = {}
    for row in ROWS:
        for who in row.who:
            told = figures[f"{row.name}/{who}"] = _loaded(row, who, compared, asked)
            p50 = (told["latency_ms"] or {}).get("p50", "–")
            _say(f"round {number}: {row.name:<12} {who:<8} {told['requests_per_s']:8.1f}/s, p50 {p50} ms")
    rate = encoder_rate(secrets.token_hex(4), asked.seconds)
    _say(f"round {number}: encoder alone {rate:.1f} texts/s")
    return figures | {ENCODER: {"texts_per_s": rate}}


def _loaded(row: Row, who: str, compared: Contestants, asked: argparse.Namespace) -> dict[str, Any]:
    """One load, made by a process of its own as anyone would start it."""
    ours = EXPERTS[0] if row.expert else "coe"
    command = [sys.executable, "-m", "jobs.load", compared.urls[who], "--model", ours if who == "ours" else MODEL]
    command += ["--clients", str(row.clients), "--seconds", str(asked.seconds), "--warm-up", str(asked.warm_up)]
    command += ["--json", "-", *(["--repeat", str(row.repeat)] if row.repeat else [])]
    key = compared.keys.get(who)
    command += ["--key-env", KEY] if key else []
    told: dict[str, Any] = json.loads(_run(command, {KEY: key} if key else {}, may_end_with=(0, 1)))
    return told


def _run(
    command: list[str], environment: Mapping[str, str] = MappingProxyType({}), may_end_with: tuple[int, ...] = (0,)
) -> str:
    """What it prints. Raises `DataError` where it ends otherwise."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    if done.returncode not in may_end_with:
        raise DataError(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
