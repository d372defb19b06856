"""Measure every expert of a profile, and CoE, on a benchmark; the same command again goes on where it stopped.

    ray job submit --working-dir . -- python jobs/bench.py --profile local-cpu --data sample --out /shared/runs/one

    python jobs/bench.py --replay /shared/runs/one
    python jobs/bench.py --replay /shared/runs/one --leaderboard other.leaderboard.json --out /shared/runs/two

Exit codes: 0 finished, 1 finished with failed calls, 2 could not run (wrong profile or data, a folder in use, a full
disk), 70 a defect of ours, 143 stopped. After any of them the same command goes on from where it stood.
"""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coe_ray.bench.driver import QUIET, hush_ray_data, outlives_the_job
from coe_ray.core.command_line import make_parser, run_command


def main() -> int:
    asked = _asked()
    return run_command("bench", _replayed if asked.replay else _measured, asked)


def _measured(asked: argparse.Namespace) -> int:
    os.environ.update({**QUIET, **os.environ})
    # Here, as these read the settings above when they are imported; and --help need not wait for them.
    import ray

    from coe_ray.bench.graceful_shutdown import GracefulShutdown
    from coe_ray.bench.run import BenchRequest, run_bench

    hush_ray_data()
    leaving = GracefulShutdown()
    ray.init(address="auto", log_to_driver=False, logging_level="WARNING")
    leaving.on_sigterm(_say)
    environment = ray.get_runtime_context().runtime_env
    out = outlives_the_job("--out", asked.out, environment)
    journal = asked.journal
    if journal and "://" not in journal:
        journal = str(outlives_the_job("--journal", Path(journal), environment))
    order = BenchRequest(
        asked.profile or "local-cpu",
        asked.data,
        out,
        asked.split,
        asked.per_task,
        asked.seed,
        journal,
        asked.retry_failed,
    )
    return _told(run_bench(order, _say, _deploy, leaving), out)


def _replayed(asked: argparse.Namespace) -> int:
    from coe_ray.bench.replay import ReplayRequest, replay

    summary = replay(ReplayRequest(asked.replay, asked.out, asked.profile, asked.leaderboard), _say)
    return _told(summary, asked.out or asked.replay)


def _told(summary: Mapping[str, Any], out: Path) -> int:
    from coe_ray.bench.report import render_table

    print(f"\n{render_table(summary)}\nreport: {out / 'report.html'}", flush=True)
    return 1 if summary["incomplete"] else 0


def _asked() -> argparse.Namespace:
    made = make_parser(__doc__)
    made.add_argument("--profile", help="a shipped profile or a YAML file; local-cpu without it")
    made.add_argument("--data", default="sample", help="sample, devops-eval, or a folder of DevOps-Eval or OpsEval")
    made.add_argument("--out", type=Path, help="the run folder; on a cluster, on shared storage")
    made.add_argument("--split", choices=["dev", "test"], default="test")
    made.add_argument("--per-task", type=int, metavar="N", help="draw N questions of each task; all without it")
    made.add_argument("--seed", type=int, default=0, help="of the draw")
    made.add_argument("--journal", help="where calls are kept: a folder or URI shared by runs; without it OUT/journal")
    made.add_argument("--retry-failed", action="store_true", help="ask again what failed for good")
    made.add_argument("--replay", type=Path, metavar="RUN", help="make a run's results again without a single call")
    made.add_argument("--leaderboard", type=Path, help="with --replay: the leaderboard that routes")
    asked = made.parse_args()
    if asked.per_task is not None and asked.per_task < 1:
        made.error("--per-task must be at least 1")
    if asked.out is None and asked.replay is None:
        made.error("--out is missing: the folder of the run")
    if asked.replay and (asked.journal or asked.retry_failed):
        made.error("--journal and --retry-failed are for runs: a replay reads its run's journal and asks nobody")
    if asked.leaderboard and asked.replay is None:
        made.error("--leaderboard goes with --replay; a run takes its profile's")
    return asked


def _deploy(profile: str) -> None:
    from coe_ray.serve.app import AppArgs, deploy

    deploy(AppArgs(profile=profile))


def _say(line: str) -> None:
    print(f"bench: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
