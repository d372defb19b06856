"""The paper's experiments with your models: its tables beside its numbers, charts, statistics, where accuracy is lost.

    ray job submit --working-dir . -- python jobs/reproduce.py --profile local-cpu --data sample --out /shared/study

    python jobs/reproduce.py --profile paper-set1 --profile paper-set3 --data devops-eval --dry-run
    python jobs/reproduce.py --replay /shared/study

The same command again goes on where it stopped. --dry-run says what would be called and calls nothing; --replay makes
tables and figures again out of what was answered. Neither needs Ray.

Exit codes: 0 finished, 1 finished with failed calls, 2 could not run, 70 a defect of ours, 143 stopped.
"""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from coe_ray.bench.driver import QUIET, hush_ray_data, outlives_the_job
from coe_ray.core.command_line import make_parser, run_command

if TYPE_CHECKING:
    from coe_ray.paper.plan_calls import StudyRequest


def main() -> int:
    return run_command("reproduce", _run, _asked())


def _run(asked: argparse.Namespace) -> int:
    if asked.replay:
        return _concluded(asked.replay)
    return _planned(_order(asked)) if asked.dry_run else _measured(asked)


def _measured(asked: argparse.Namespace) -> int:
    os.environ.update({**QUIET, **os.environ})
    # Here, as these read the settings above when they are imported; and --help need not wait for them.
    import ray

    from coe_ray.bench.graceful_shutdown import GracefulShutdown
    from coe_ray.paper.execute import execute_plan
    from coe_ray.paper.reproduction import plan_studies, write_order

    hush_ray_data()
    leaving, order = GracefulShutdown(), _order(asked)
    plan_studies(order)  # what is wrong is said before anything is asked
    ray.init(address="auto", log_to_driver=False, logging_level="WARNING")
    leaving.on_sigterm(_say)
    order = replace(order, out=outlives_the_job("--out", order.out, ray.get_runtime_context().runtime_env))
    write_order(order)
    for each in plan_studies(order):
        _say(f"profile {each.profile.name}")
        execute_plan(order, each, _say, _deploy, leaving)
    return _concluded(order.out)


def _concluded(out: Path) -> int:
    from coe_ray.paper.paper_figures import draw_figures
    from coe_ray.paper.reproduction import conclude, plan_studies, read_order

    order = read_order(out)
    findings = conclude(order, plan_studies(order), _say, draw_figures)
    _say(f"tables, figures and findings.json in {out}")
    return 1 if any(each.left_out for each in findings) else 0


def _planned(order: "StudyRequest") -> int:
    """What would be called."""
    from coe_ray.paper.estimate import COLUMNS, estimate_loads, rows
    from coe_ray.paper.reproduction import plan_studies
    from coe_ray.paper.table_format import Grid, text

    for each in plan_studies(order):
        asked = f"{len(each.questions)} questions, {len(each.asked.experts)} experts, {len(each.labellers)} classifiers"
        print(text(Grid(f"profile {each.profile.name}", asked, COLUMNS, tuple(rows(estimate_loads(each))))))
    print("nothing was called")
    return 0


def _order(asked: argparse.Namespace) -> "StudyRequest":
    from coe_ray.paper.plan_calls import StudyRequest

    return StudyRequest(
        profiles=tuple(asked.profile or ["local-cpu"]),
        data=asked.data,
        out=asked.out or Path(),
        per_task=asked.per_task,
        seed=asked.seed,
        scoring=asked.scoring,
        shots=asked.shots,
        mapping=asked.mapping,
        leave_out_leaks=asked.leave_out_leaks,
        fine_tune=asked.fine_tune,
    )


def _deploy(profile: str) -> None:
    from coe_ray.serve.app import AppArgs, deploy

    deploy(AppArgs(profile=profile, study=True))


def _asked() -> argparse.Namespace:
    made = make_parser(__doc__)
    made.add_argument("--profile", action="append", help="a shipped profile or a YAML file; again for several")
    made.add_argument("--data", default="sample", help="sample, devops-eval, or a folder of DevOps-Eval or OpsEval")
    made.add_argument("--out", type=Path, help="the study's folder; on a cluster, on shared storage")
    made.add_argument("--per-task", type=int, metavar="N", help="draw N questions of each task; all without it")
    made.add_argument("--seed", type=int, default=0, help="of the draw")
    made.add_argument("--scoring", choices=["text", "next-token"], default="text", help="how letters are read")
    made.add_argument("--shots", type=int, default=0, metavar="K", help="solved questions before each question")
    made.add_argument("--mapping", type=Path, metavar="RUN", help="a run on other questions, for the held-out mapping")
    made.add_argument("--leave-out-leaks", action="store_true", help="leave out examples that are scored questions")
    made.add_argument("--fine-tune", action="store_true", help="fine-tune an encoder as Bench-CoE, too (minutes)")
    made.add_argument("--dry-run", action="store_true", help="say what would be called, and call nothing")
    made.add_argument("--replay", type=Path, metavar="OUT", help="tables and figures of a study again")
    asked = made.parse_args()
    if asked.out is None and not (asked.dry_run or asked.replay):
        made.error("--out is needed: where the study is kept")
    return asked


def _say(line: str) -> None:
    print(f"reproduce: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
