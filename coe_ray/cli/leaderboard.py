"""Build a versioned leaderboard file from a finished bench run.

    coe-ray leaderboard --run runs/dev --out my.leaderboard.json

A profile names the file as `leaderboard.path`. Use a run of the dev split (`coe-ray bench --split dev`) where the
test split is to be scored: a mapping made from the scored questions overstates its own accuracy.

Exit codes: 0 written, 2 could not be made (no such run, or one with failed calls).
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", dest="folder", required=True, type=Path, metavar="RUN", help="a finished bench run")
    parser.add_argument("--out", required=True, type=Path, help="the leaderboard file to write")


def run(args: argparse.Namespace) -> int:
    from coe_ray.bench.scoring import leaderboard_of_run
    from coe_ray.core.run_folder import RunFolder

    board = leaderboard_of_run(RunFolder(args.folder))
    board.save(args.out)
    print(f"{args.out}: version {board.version}")
    for task in board.tasks:
        best = board.ranked(task)[0]
        print(f"  {task}: {best.expert} ({best.correct} of {best.total})")
    return 0
