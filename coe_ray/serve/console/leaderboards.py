"""The leaderboards that can be shown and compared: the one that is served, those before it, and their neighbours.

A client names a version, never a file: what is read is the profile's to say, and its changes'.
"""

import logging
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from coe_ray.core.errors import CoeError, DataError
from coe_ray.profile.profile import Profile
from coe_ray.routing.leaderboard import Leaderboard
from coe_ray.serve.snapshot.history import Change
from coe_ray.serve.snapshot.snapshot import apply_change

log = logging.getLogger("ray.serve")

FILES = "*.leaderboard.json"
AT_MOST = 100


def boards(base: Profile, served: Leaderboard | None, history: Iterable[Change]) -> dict[str, Leaderboard]:
    """By version, the newest first behind the one that is `served`.

    `base` is the profile as it was deployed, and `history` the changes that it was given.
    """
    found: dict[str, Leaderboard] = {}
    for file in _files(base, history):
        board = _loaded(file)
        if board is not None and _belongs(board, base) and not _is_same(board, served):
            found[board.version] = board
    newest_first = sorted(found.values(), key=lambda board: board.provenance.created, reverse=True)
    listed = [served, *newest_first] if served else newest_first
    return {board.version: board for board in listed[:AT_MOST]}


def listed(board: Leaderboard, served: Leaderboard | None) -> dict[str, Any]:
    """What a list says of one: all but its scores."""
    content = board.as_dict()
    return {
        "version": board.version,
        "served": served is not None and board.version == served.version,
        "provenance": content["provenance"],
        "experts": list(board.experts),
        "tasks": list(board.tasks),
        "answers": sum(score.total for score in board.scores),
    }


def _files(base: Profile, history: Iterable[Change]) -> Iterator[Path]:
    named = [base.leaderboard_file, *(_file_of(base, change) for change in history)]
    folders = {file.parent: None for file in named if file}
    beside = (file for folder in folders for file in sorted(folder.glob(FILES)))
    return iter(dict.fromkeys(file for file in [*named, *beside] if file))


def _file_of(base: Profile, change: Change) -> Path | None:
    try:
        return apply_change(base, change.content).leaderboard_file
    except CoeError:  # it could be taken once, with what was there then
        return None


def _loaded(file: Path) -> Leaderboard | None:
    try:
        stat = file.stat()
        return _read(file, stat.st_mtime_ns, stat.st_size)
    except OSError:
        return None


@lru_cache(maxsize=4 * AT_MOST)
def _read(file: Path, _written: int, _size: int) -> Leaderboard | None:
    """Once for each state of the file, so that the log tells only once of one that is none."""
    try:
        return Leaderboard.load(file)
    except DataError as error:
        log.warning("not shown among the leaderboards: %s", error)
        return None


def _belongs(board: Leaderboard, profile: Profile) -> bool:
    """Not another profile's that lies in the same folder."""
    return bool(set(board.experts) & set(profile.experts))


def _is_same(board: Leaderboard, served: Leaderboard | None) -> bool:
    """Whether it is what the served one was narrowed from."""
    if served is None or not set(served.experts) <= set(board.experts):
        return False
    return board.narrowed(served.experts).version == served.version
