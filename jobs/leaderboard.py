"""Build a versioned leaderboard file from a finished bench run.

    python jobs/leaderboard.py --run runs/dev --out my.leaderboard.json

A profile names the file as `leaderboard.path`. Use a run of the dev split (`jobs/bench.py --split dev`) where the
test split is to be scored: a mapping made of the scored questions flatters itself.
"""

import argparse
import sys
from pathlib import Path

from coe_ray.bench.scoring import COE, board_of
from coe_ray.errors import CoeError, DataError
from coe_ray.runs import RunFolder
from coe_ray.types import Provenance


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, type=Path, help="the folder of a finished bench run")
    parser.add_argument("--out", required=True, type=Path, help="the leaderboard file to write")
    asked = parser.parse_args()
    try:
        build(RunFolder(asked.run), asked.out)
    except CoeError as error:
        print(f"leaderboard: {error}", file=sys.stderr)
        return 2
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
