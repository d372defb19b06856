"""Build a versioned leaderboard file from a finished bench run.

    python jobs/leaderboard.py --run runs/dev --out my.leaderboard.json

A profile names the file as `leaderboard.path`. Use a run of the dev split (`jobs/bench.py --split dev`) where the
test split is to be scored: a mapping made of the scored questions flatters itself.

Exit codes: 0 written, 2 could not be made (no such run, or one with failed calls).
"""

import argparse
import sys
from pathlib import Path

from coe_ray.bench.scoring import COE, board_of
from coe_ray.core.command_line import make_parser, run_command
from coe_ray.core.errors import DataError
from coe_ray.core.run_folder import RunFolder
from coe_ray.core.types import Provenance


def main() -> int:
    made = make_parser(__doc__)
    made.add_argument("--run", required=True, type=Path, help="the folder of a finished bench run")
    made.add_argument("--out", required=True, type=Path, help="the leaderboard file to write")
    return run_command("leaderboard", _built, made.parse_args())


def _built(asked: argparse.Namespace) -> int:
    build(RunFolder(asked.run), asked.out)
    return 0


def build(folder: RunFolder, out: Path) -> None:
    """Raises `DataError` for a run that is not finished: failed calls would leave its counts uneven."""
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
    board = board_of((row for row in folder.read_answers() if row["system"] != COE), provenance)
    board.save(out)
    print(f"{out}: version {board.version}")
    for task in board.tasks:
        best = board.ranked(task)[0]
        print(f"  {task}: {best.expert} ({best.correct} of {best.total})")


if __name__ == "__main__":
    sys.exit(main())
