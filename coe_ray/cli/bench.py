"""Measure every expert of a profile, and CoE, on a benchmark; the same command again resumes it.

    coe-ray bench --profile local-cpu --data sample --out runs/one
    coe-ray bench --replay runs/one
    coe-ray bench --replay runs/one --leaderboard other.leaderboard.json --out runs/two

On a cluster, as a Ray job from a checkout:

    ray job submit --working-dir . -- python jobs/bench.py --profile local-cpu --data sample --out /shared/runs/one

Exit codes: 0 finished, 1 finished with failed calls, 2 could not run (wrong profile or data, a folder in use, a full
disk, no Ray), 70 a defect of coe_ray, 143 stopped. After any of them the same command resumes the run.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coe_ray.core.command_line import positive_int
from coe_ray.core.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", help="a shipped profile or a YAML file (default: local-cpu)")
    parser.add_argument("--data", default="sample", help="sample, devops-eval, or a folder of DevOps-Eval or OpsEval")
    parser.add_argument("--out", type=Path, help="the run folder; on a cluster, on shared storage")
    parser.add_argument("--split", choices=["dev", "test"], default="test")
    parser.add_argument("--per-task", type=positive_int, metavar="N", help="draw N questions a task (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--journal", help="folder that keeps the calls, shared by runs (default: OUT/journal)")
    parser.add_argument("--retry-failed", action="store_true", help="repeat calls that failed permanently")
    parser.add_argument("--replay", type=Path, metavar="RUN", help="make a run's results again without a single call")
    parser.add_argument("--leaderboard", type=Path, help="with --replay: the leaderboard that routes")


def run(args: argparse.Namespace) -> int:
    if args.out is None and args.replay is None:
        raise ConfigError("--out is missing: the folder of the run")
    if args.replay and (args.journal or args.retry_failed):
        raise ConfigError("--journal and --retry-failed are for runs: a replay only reads its run's journal")
    if args.leaderboard and args.replay is None:
        raise ConfigError("--leaderboard goes with --replay; a run takes its profile's")
    if args.journal:
        from coe_ray.journal.segments import check_is_folder

        check_is_folder(args.journal)
    return _replay(args) if args.replay else _measure(args)


def _measure(args: argparse.Namespace) -> int:
    from coe_ray.cli.ray_driver import deploy_profile, require_lasting_path, start_driver

    shutdown = start_driver(_report_line)
    from coe_ray.bench.run import BenchRequest, run_bench  # reads variables that start_driver sets

    out = require_lasting_path("--out", args.out)
    journal = str(require_lasting_path("--journal", Path(args.journal))) if args.journal else None
    request = BenchRequest(
        args.profile or "local-cpu",
        args.data,
        out,
        args.split,
        args.per_task,
        args.seed,
        journal,
        args.retry_failed,
    )
    return _print_summary(run_bench(request, _report_line, deploy_profile, shutdown), out)


def _replay(args: argparse.Namespace) -> int:
    from coe_ray.bench.replay import ReplayRequest, replay

    summary = replay(ReplayRequest(args.replay, args.out, args.profile, args.leaderboard), _report_line)
    return _print_summary(summary, args.out or args.replay)


def _print_summary(summary: Mapping[str, Any], out: Path) -> int:
    from coe_ray.bench.report import render_table

    print(f"\n{render_table(summary)}\nreport: {out / 'report.html'}", flush=True)
    return 1 if summary["incomplete"] else 0


def _report_line(line: str) -> None:
    print(f"bench: {line}", flush=True)
