"""Put load on an OpenAI-compatible endpoint and print rates, latencies and errors.

    coe-ray load http://127.0.0.1:8000/v1 --clients 32 --seconds 20              closed loop
    coe-ray load http://127.0.0.1:8000/v1 --rate 200 --seconds 20                open loop, Poisson arrivals
    coe-ray load http://127.0.0.1:8000/v1 --model NAME --key-env COE_KEY --json -

Questions are generated and never the same twice; --repeat N takes N of them in rotation, --data a benchmark's. An
answer is good only with status 200 and text in it. In the open loop latency counts from when a question was due.

Exit codes: 0 every answer was good, 1 some were not, 2 could not run.
"""

import argparse
import os
import re
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coe_ray.cli.main import main
from coe_ray.core.command_line import positive_float, positive_int
from coe_ray.core.errors import ConfigError

if TYPE_CHECKING:
    from jobs.loading.plan import LoadPlan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", help="up to and with /v1")
    parser.add_argument("--model", default="coe", help="coe, or the name of an expert")
    parser.add_argument("--seconds", type=positive_float, default=20.0, metavar="S")
    parser.add_argument("--warm-up", type=float, default=2.0, metavar="S", help="before it; does not count")
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument("--clients", type=positive_int, default=32, metavar="N", help="closed loop: requests at once")
    pace.add_argument("--rate", type=positive_float, metavar="N", help="open loop: requests a second")
    parser.add_argument("--seed", type=int, default=0, help="of the open loop's arrivals")
    parser.add_argument("--stream", action="store_true", help="streamed answers, with the time to the first piece")
    parser.add_argument("--repeat", type=positive_int, metavar="N", help="so many questions in rotation")
    parser.add_argument("--data", metavar="DATA", help="a benchmark's questions: sample, devops-eval or a folder")
    parser.add_argument("--key-env", metavar="NAME", help="environment variable that holds the endpoint's key")
    parser.add_argument(
        "--header", action="append", default=[], metavar="NAME=VALUE", help="of every request; give it for each header"
    )
    parser.add_argument("--timeout", type=positive_float, default=60.0, metavar="S", help="of one request")
    parser.add_argument("--processes", type=positive_int, default=1, metavar="P", help="that share the load")
    parser.add_argument("--json", metavar="FILE", help="the figures as JSON; - prints them instead of the table")


def run(args: argparse.Namespace) -> int:
    from jobs.loading.figures import summarize_load
    from jobs.loading.plan import run_load

    plan = _plan(args)
    results = summarize_load(plan, run_load(plan))
    _print_results(results, args.json)
    return 0 if results["ok"] and not results["errors"]["total"] else 1


def _plan(args: argparse.Namespace) -> "LoadPlan":
    from jobs.loading.plan import LoadPlan
    from jobs.loading.questions import QuestionSource
    from jobs.loading.results import Target

    if not args.url.startswith(("http://", "https://")):
        raise ConfigError(f"{args.url}: give the endpoint's URL, such as http://127.0.0.1:8000/v1")
    return LoadPlan(
        target=Target(args.url, args.model, _key(args.key_env), args.stream, args.timeout, _headers(args.header)),
        questions=QuestionSource(secrets.token_hex(4), args.repeat, args.data),
        seconds=args.seconds,
        clients=args.clients,
        rate=args.rate,
        seed=args.seed,
        warm_up_s=args.warm_up,
        processes=min(args.processes, args.clients if args.rate is None else args.processes),
    )


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    if not (key := os.environ.get(variable)):
        raise ConfigError(f"--key-env {variable}: there is no such environment variable; export it")
    return key


def _headers(given: list[str]) -> tuple[tuple[str, str], ...]:
    parts = [re.fullmatch(r"([\w!#$%&'*+.^`|~-]+)=([^\r\n\0]*)", each, re.ASCII) for each in given]
    if None in parts:  # what was given is not shown: it may be a secret
        raise ConfigError(f"--header: number {parts.index(None) + 1} is not NAME=VALUE, such as x-tenant=blue")
    return tuple((part[1], part[2]) for part in parts if part)


def _print_results(results: dict[str, Any], file: str | None) -> None:
    import orjson

    from coe_ray.core.files import write_atomic
    from jobs.loading.table import format_load

    content = orjson.dumps(results, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    if file == "-":
        print(content.decode(), end="")
        return
    print(format_load(results))
    if file is not None:
        write_atomic(Path(file), content)


if __name__ == "__main__":
    sys.exit(main(["load", *sys.argv[1:]]))
