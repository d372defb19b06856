"""Leaderboards that can be shown and compared: the one that is served, former ones, and files beside them.

A client names a version, never a file: the files are those that the profile and its changes name, and their neighbours.
"""

import logging
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel

from coe_ray.core.errors import CoeError, DataError
from coe_ray.core.types import Provenance
from coe_ray.profile.profile import Profile
from coe_ray.routing.leaderboard import Leaderboard
from coe_ray.serve.snapshot.history import Change
from coe_ray.serve.snapshot.snapshot import apply_change

log = logging.getLogger("ray.serve")

FILES = "*.leaderboard.json"
BOARDS_AT_MOST = 100


class ListedLeaderboard(BaseModel):
    """A leaderboard without its scores; `answers` is how many it was made of."""

    version: str
    served: bool
    provenance: Provenance
    experts: list[str]
    tasks: list[str]
    answers: int


def find_leaderboards(base: Profile, served: Leaderboard | None, history: Iterable[Change]) -> dict[str, Leaderboard]:
    """Leaderboards by version: the one that is `served`, then the newest first.

    `base` is the profile as it was deployed, and `history` the changes that it was given.
    """
    others: dict[str, Leaderboard] = {}
    for file in _files(base, history):
        board = _load(file)
        if board is not None and set(board.experts) & set(base.experts) and not _is_same(board, served):
            others[board.version] = board
    newest_first = sorted(others.values(), key=lambda board: board.provenance.created, reverse=True)
    boards = [served, *newest_first] if served else newest_first
    return {board.version: board for board in boards[:BOARDS_AT_MOST]}


def list_leaderboard(board: Leaderboard, served: Leaderboard | None) -> ListedLeaderboard:
    return ListedLeaderboard(
        version=board.version,
        served=served is not None and board.version == served.version,
        provenance=board.provenance,
        experts=list(board.experts),
        tasks=list(board.tasks),
        answers=sum(score.total for score in board.scores),
    )


def _files(base: Profile, history: Iterable[Change]) -> Iterator[Path]:
    named = [base.leaderboard_file, *(_file_of(base, change) for change in history)]
    folders = {file.parent: None for file in named if file}
    beside = (file for folder in folders for file in sorted(folder.glob(FILES)))
    return iter(dict.fromkeys(file for file in [*named, *beside] if file))


def _file_of(base: Profile, change: Change) -> Path | None:
    try:
        return apply_change(base, change.content).leaderboard_file
    except CoeError:  # a change of the past may name what is no longer there
        return None


def _load(file: Path) -> Leaderboard | None:
    try:
        stat = file.stat()
        return _load_version(file, stat.st_mtime_ns, stat.st_size)
    except OSError:
        return None


@lru_cache(maxsize=4 * BOARDS_AT_MOST)
def _load_version(file: Path, _written: int, _size: int) -> Leaderboard | None:
    """Read once for each state of the file, so that one that is no leaderboard is logged once."""
    try:
        return Leaderboard.load(file)
    except DataError as error:
        log.warning("not shown among the leaderboards: %s", error)
        return None


def _is_same(board: Leaderboard, served: Leaderboard | None) -> bool:
    """Whether it is what the served one was narrowed from."""
    if served is None or not set(served.experts) <= set(board.experts):
        return False
    return board.narrowed(served.experts).version == served.version
