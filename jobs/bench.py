"""Measure every expert of a profile, and CoE, on a benchmark; the same command again goes on where it stopped.

    ray job submit --working-dir . -- python jobs/bench.py --profile local-cpu --data sample --out /shared/runs/one

Exit codes: 0 finished, 1 finished with failed calls (the same command asks them again), 2 wrong profile or data.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import ray
from ray import serve

from coe_ray.bench.report import render_table
from coe_ray.bench.run import BenchOrder, run_bench
from coe_ray.cluster import APPLICATION
from coe_ray.errors import CoeError, ConfigError
from coe_ray.serve.app import AppArgs, build


def main() -> int:
    order = _order()
    ray.init(address="auto", log_to_driver=False, logging_level="WARNING")
    try:
        summary = run_bench(_outlives_the_job(order), _say, _deploy)
    except CoeError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    print(f"\n{render_table(summary)}\n\nreport: {order.out / 'report.html'}", flush=True)
    return 1 if summary["incomplete"] else 0


def _order() -> BenchOrder:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="local-cpu", help="a shipped profile or a YAML file")
    parser.add_argument("--data", default="sample", help="sample, devops-eval, or a folder of DevOps-Eval or OpsEval")
    parser.add_argument("--out", required=True, type=Path, help="the run folder; on a cluster, on shared storage")
    parser.add_argument("--split", choices=["dev", "test"], default="test")
    parser.add_argument("--per-task", type=int, metavar="N", help="draw N questions of each task; all without it")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    asked = parser.parse_args()
    if asked.per_task is not None and asked.per_task < 1:
        parser.error("--per-task must be at least 1")
    return BenchOrder(asked.profile, asked.data, asked.out.expanduser(), asked.split, asked.per_task, asked.seed)


def _outlives_the_job(order: BenchOrder) -> BenchOrder:
    """In a submitted job the working folder is a copy that Ray removes: results must not go there."""
    in_job = bool(ray.get_runtime_context().runtime_env.get("working_dir"))
    if in_job and not order.out.is_absolute():
        raise ConfigError(f"--out {order.out}: in a job give an absolute path; the working folder is only a copy")
    return replace(order, out=order.out.absolute())


def _deploy(profile: str) -> None:
    serve.run(build(AppArgs(profile=profile)), name=APPLICATION)


def _say(line: str) -> None:
    print(f"bench: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
