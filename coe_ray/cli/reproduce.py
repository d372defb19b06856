"""Run the paper's experiments with your models: its tables beside its numbers, charts, statistics, where accuracy goes.

    coe-ray reproduce --profile local-cpu --data sample --out study
    coe-ray reproduce --profile paper-set1 --profile paper-set3 --data devops-eval --dry-run
    coe-ray reproduce --replay study

On a cluster, as a Ray job from a checkout:

    ray job submit --working-dir . -- python jobs/reproduce.py --profile local-cpu --data sample --out /shared/study

The same command again resumes the study. --dry-run prints the calls that it would make; --replay makes tables and
figures again from the answers. Neither needs Ray.

Exit codes: 0 finished, 1 finished with failed calls, 2 could not run, 70 a defect of coe_ray, 143 stopped.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from coe_ray.core.command_line import positive_int
from coe_ray.core.errors import ConfigError

if TYPE_CHECKING:
    from coe_ray.paper.study_plan import StudyRequest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", action="append", help="a shipped profile or a YAML file; may be repeated")
    parser.add_argument("--data", default="sample", help="sample, devops-eval, or a folder of DevOps-Eval or OpsEval")
    parser.add_argument("--out", type=Path, help="the study's folder; on a cluster, on shared storage")
    parser.add_argument("--per-task", type=positive_int, metavar="N", help="draw N questions a task (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--scoring", choices=["text", "next-token"], default="text", help="how letters are read")
    parser.add_argument("--shots", type=int, default=0, metavar="K", help="solved questions before the question")
    parser.add_argument("--mapping", type=Path, metavar="RUN", help="a run on other questions, for a held-out mapping")
    parser.add_argument("--leave-out-leaks", action="store_true", help="leave out examples that are scored questions")
    parser.add_argument("--fine-tune", action="store_true", help="also fine-tune an encoder as Bench-CoE (minutes)")
    parser.add_argument("--dry-run", action="store_true", help="print the calls that would be made, and make none")
    parser.add_argument("--replay", type=Path, metavar="OUT", help="make a study's tables and figures again")


def run(args: argparse.Namespace) -> int:
    if args.replay:
        return _conclude(args.replay)
    if args.dry_run:
        return _print_plan(_request(args))
    if args.out is None:
        raise ConfigError("--out is missing: the folder of the study")
    return _measure(_request(args))


def _measure(request: "StudyRequest") -> int:
    from coe_ray.cli.ray_driver import deploy_study, require_lasting_path, start_driver
    from coe_ray.paper.study import plan_studies, write_request

    plan_studies(request)  # raises before any call is made
    shutdown = start_driver(_report_line)
    from coe_ray.paper.study_run import execute_plan  # reads variables that start_driver sets

    request = replace(request, out=require_lasting_path("--out", request.out))
    write_request(request)
    for plan in plan_studies(request):
        _report_line(f"profile {plan.profile.name}")
        execute_plan(request, plan, _report_line, deploy_study, shutdown)
    return _conclude(request.out)


def _conclude(out: Path) -> int:
    from coe_ray.paper.study import plan_studies, read_request, write_study

    request = read_request(out)
    findings = write_study(request, plan_studies(request), _report_line)
    _report_line(f"tables, figures and findings.json in {out}")
    return 1 if any(profile.left_out for profile in findings) else 0


def _print_plan(request: "StudyRequest") -> int:
    from coe_ray.analysis.tables import format_text
    from coe_ray.paper.call_estimate import estimate_table
    from coe_ray.paper.study import plan_studies

    for plan in plan_studies(request):
        print(format_text(estimate_table(plan)))
    print("nothing was called")
    return 0


def _request(args: argparse.Namespace) -> "StudyRequest":
    from coe_ray.paper.study_plan import StudyRequest

    return StudyRequest(
        profiles=tuple(args.profile or ["local-cpu"]),
        data=args.data,
        out=args.out or Path(),
        per_task=args.per_task,
        seed=args.seed,
        scoring=args.scoring,
        shots=args.shots,
        mapping=args.mapping,
        leave_out_leaks=args.leave_out_leaks,
        fine_tune=args.fine_tune,
    )


def _report_line(line: str) -> None:
    print(f"reproduce: {line}", flush=True)
