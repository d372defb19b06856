"""Load on an OpenAI-compatible endpoint, and what it did to it.

    python -m jobs.load http://127.0.0.1:8000/v1 --clients 32 --seconds 20              closed loop
    python -m jobs.load http://127.0.0.1:8000/v1 --rate 200 --seconds 20                open loop, Poisson arrivals
    python -m jobs.load http://127.0.0.1:8000/v1 --model NAME --key-env COE_KEY --json -

Questions are made up and never the same twice; --repeat N takes N of them in rotation, --data a benchmark's. An answer
counts as good only with status 200 and text in it. In the open loop latency counts from when a question was due.

Exit codes: 0 every answer was good, 1 some were not, 2 could not run.
"""

import argparse
import os
import secrets
import sys
from pathlib import Path
from typing import Any

import orjson

from coe_ray.core.command_line import make_parser, run_command
from coe_ray.core.errors import ConfigError
from coe_ray.core.files import write_atomic
from jobs.loading.figures import figures
from jobs.loading.plan import Plan, run
from jobs.loading.questions import Questions
from jobs.loading.requests import Target
from jobs.loading.table import table


def main() -> int:
    return run_command("load", _loaded, _asked())


def _loaded(asked: argparse.Namespace) -> int:
    plan = _plan(asked)
    told = figures(plan, run(plan))
    _tell(told, asked.json)
    return 0 if told["ok"] and not told["errors"]["total"] else 1


def _asked() -> argparse.Namespace:
    made = make_parser(__doc__)
    made.add_argument("url", help="up to and with /v1")
    made.add_argument("--model", default="coe", help="coe, or the name of an expert")
    made.add_argument("--seconds", type=_above(0.0), default=20.0, metavar="S")
    made.add_argument("--warm-up", type=float, default=2.0, metavar="S", help="before it; does not count")
    pace = made.add_mutually_exclusive_group()
    pace.add_argument("--clients", type=_count, default=32, metavar="N", help="closed loop: requests at once")
    pace.add_argument("--rate", type=_above(0.0), metavar="N", help="open loop: requests a second")
    made.add_argument("--seed", type=int, default=0, help="of the open loop's arrivals")
    made.add_argument("--stream", action="store_true", help="streamed answers, with the time to the first piece")
    made.add_argument("--repeat", type=_count, metavar="N", help="so many questions in rotation")
    made.add_argument("--data", metavar="DATA", help="a benchmark's questions: sample, devops-eval or a folder")
    made.add_argument("--key-env", metavar="NAME", help="environment variable that holds the endpoint's key")
    made.add_argument("--timeout", type=_above(0.0), default=60.0, metavar="S", help="of one request")
    made.add_argument("--processes", type=_count, default=1, metavar="P", help="that share the load")
    made.add_argument("--json", metavar="FILE", help="the figures as JSON; - prints them instead of the table")
    return made.parse_args()


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError
    return number


def _above(least: float) -> Any:
    def number(text: str) -> float:
        if not (value := float(text)) > least:
            raise ValueError
        return value

    return number


def _plan(asked: argparse.Namespace) -> Plan:
    if not asked.url.startswith(("http://", "https://")):
        raise ConfigError(f"{asked.url}: give the endpoint's URL, such as http://127.0.0.1:8000/v1")
    return Plan(
        target=Target(asked.url, asked.model, _key(asked.key_env), asked.stream, asked.timeout),
        questions=Questions(secrets.token_hex(4), asked.repeat, asked.data),
        seconds=asked.seconds,
        clients=asked.clients,
        rate=asked.rate,
        seed=asked.seed,
        warm_up_s=asked.warm_up,
        processes=min(asked.processes, asked.clients if asked.rate is None else asked.processes),
    )


def _key(name: str | None) -> str | None:
    if name is None:
        return None
    if not (key := os.environ.get(name)):
        raise ConfigError(f"--key-env {name}: there is no such environment variable; export it")
    return key


def _tell(told: dict[str, Any], file: str | None) -> None:
    content = orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    if file == "-":
        print(content.decode(), end="")
        return
    print(table(told))
    if file is not None:
        write_atomic(Path(file), content)


if __name__ == "__main__":
    sys.exit(main())
