"""Build a versioned leaderboard file from a finished bench run.

    coe-ray leaderboard --run runs/dev --out my.leaderboard.json

A profile names the file as `leaderboard.path`. Use a run of the dev split (`coe-ray bench --split dev`) where the
test split is to be scored: a mapping made from the scored questions overstates its own accuracy.

Exit codes: 0 written, 2 could not be made (no such run, or one with failed calls).
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from coe_ray.core.errors import DataError

if TYPE_CHECKING:
    from coe_ray.core.run_folder import RunFolder
    from coe_ray.routing.leaderboard import Leaderboard


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", dest="folder", required=True, type=Path, metavar="RUN", help="a finished bench run")
    parser.add_argument("--out", required=True, type=Path, help="the leaderboard file to write")


def run(args: argparse.Namespace) -> int:
    from coe_ray.core.run_folder import RunFolder

    board = build_leaderboard(RunFolder(args.folder))
    board.save(args.out)
    print(f"{args.out}: version {board.version}")
    for task in board.tasks:
        best = board.ranked(task)[0]
        print(f"  {task}: {best.expert} ({best.correct} of {best.total})")
    return 0


def build_leaderboard(folder: "RunFolder") -> "Leaderboard":
    """The leaderboard of a run's experts. Raises `DataError` for a run that is not finished: its counts are uneven."""
    from coe_ray.bench.scoring import COE, board_of
    from coe_ray.core.types import Provenance

    summary = folder.read_summary()
    if summary["incomplete"]:
        raise DataError(f"{folder.root}: has failed calls; repeat its bench command until it is complete")
    provenance = Provenance(
        run=folder.root.name,
        data=Path(summary["data"]).name,
        split=summary["split"],
        profile=summary["profile"],
        created=summary["created"],
        commit=summary["commit"] or "",
    )
    return board_of((row for row in folder.read_answers() if row["system"] != COE), provenance)
