"""The run folders that the console shows: those that lie directly in one folder. What they hold is only read.

A client names a run by its folder's name, which is looked up among those that are there: no path is made of it.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
from pyarrow import ArrowException

from coe_ray.core.errors import DataError
from coe_ray.core.run_folder import Progress, RunFolder, RunState

AT_MOST = 200
"""Runs in a list: the latest."""

_SHOWN = (
    "rows",
    "incomplete",
    "systems",
    "classifier",
    "failures",
    "calls",
    "rejected",
    "seconds",
    "leaderboard",
    "version",
    "commit",
    "created",
)
"""What is shown of a summary. Its command line and folders are for those who can read it there."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run as far as a list tells it."""

    folder: RunFolder
    card: Mapping[str, Any]
    began: float
    state: RunState
    progress: Progress | None

    @property
    def summary(self) -> dict[str, Any] | None:
        """`None` where there is none yet."""
        path = self.folder.summary
        try:
            return _summary(path, path.stat().st_mtime_ns)
        except OSError:
            return None

    def listed(self) -> dict[str, Any]:
        summary = self.summary or {}
        return {
            "id": self.folder.root.name,
            "state": self.state,
            "started": _moment(self.began),
            "profile": Path(str(self.card.get("profile", ""))).stem,
            "data": Path(str(self.card.get("data", ""))).name,
            "split": self.card.get("split"),
            "replay": "replay" in self.card,
            "questions": self._questions(summary),
            "incomplete": summary.get("incomplete"),
            "accuracy": _accuracy(summary),
            "progress": self._told(),
        }

    def whole(self) -> dict[str, Any]:
        """As in the list, and the figures, where it has come to some."""
        summary = self.summary
        shown = {name: summary[name] for name in _SHOWN if name in summary} if summary else None
        return {**self.listed(), "summary": shown}

    def _questions(self, summary: Mapping[str, Any]) -> int:
        if "rows" in summary:
            return int(summary["rows"])
        return self.progress.total if self.progress else _rows_in(self.folder.questions)

    def _told(self) -> dict[str, Any] | None:
        """The progress of a run that is not over, and how old that is."""
        if self.progress is None or self.state == "finished":
            return None
        return {**asdict(self.progress), "age": max(0.0, time.time() - self.progress.at)}


class RunStore:
    """The runs below `root`, which need not be there."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def runs(self) -> list[Run]:
        """The latest first."""
        found = sorted(self._folders().values(), key=_began, reverse=True)
        return [run for folder in found[:AT_MOST] if (run := _run(folder))]

    def run(self, name: str) -> Run | None:
        """`None` where there is none of that name."""
        folder = self._folders().get(name)
        return _run(folder) if folder else None

    def _folders(self) -> dict[str, RunFolder]:
        try:
            below = [each for each in self._root.iterdir() if (each / "run.json").is_file()]
        except OSError:  # nothing was run yet
            return {}
        return {each.name: RunFolder(each) for each in below}


def _run(folder: RunFolder) -> Run | None:
    """`None` where its files cannot be read, or it is just being removed."""
    try:
        return Run(folder, folder.card(), _began(folder), folder.state(), folder.read_progress())
    except (OSError, ValueError, DataError):
        return None


def _began(folder: RunFolder) -> float:
    """`run.json` is written once."""
    card = folder.root / "run.json"
    return card.stat().st_mtime if card.exists() else 0.0


def _accuracy(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """CoE's."""
    told = summary.get("systems", {}).get("coe")
    return told and {"accuracy": told.get("accuracy"), "ci95": told.get("ci95")}


def _rows_in(folder: Path) -> int:
    try:
        return sum(pq.read_metadata(file).num_rows for file in folder.glob("*.parquet"))
    except (OSError, ArrowException):
        return 0


@lru_cache(maxsize=2 * AT_MOST)
def _summary(path: Path, _written: int) -> dict[str, Any] | None:
    try:
        summary: dict[str, Any] = orjson.loads(path.read_bytes())
    except ValueError:
        return None
    return summary if isinstance(summary, dict) else None


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
