"""Bench runs that the console shows: the run folders that lie directly in one folder. They are only read.

A client names a run by its folder's name, which is looked up among the folders there: no path is made of it.
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
from pydantic import BaseModel

from coe_ray.core.errors import DataError
from coe_ray.core.run_folder import Progress, RunFolder, RunState

RUNS_AT_MOST = 200
"""Runs in a list: the latest."""

_SHOWN = (
    *("rows", "incomplete", "systems", "classifier", "failures", "calls", "rejected"),
    *("seconds", "leaderboard", "version", "commit", "created"),
)
"""Fields of a summary that are shown. Its command line and folders are for those who can read the file."""


class Accuracy(BaseModel):
    accuracy: float | None = None
    ci95: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class RunProgress(Progress):
    """Progress of a run `age` seconds ago: questions, then calls, by the class of their error where it matters."""

    age: float = 0.0


class ListedRun(BaseModel):
    """A bench run. `accuracy` is CoE's, where there are figures; `progress` is there while the run is not finished."""

    id: str
    state: RunState
    started: str
    profile: str
    data: str
    split: str | None
    replay: bool
    questions: int
    incomplete: bool | None
    accuracy: Accuracy | None
    progress: RunProgress | None


class WholeRun(ListedRun):
    """A bench run with its summary, as docs/runs.md has it, but for the command line."""

    summary: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder with its `run.json` and what is shown of it."""

    folder: RunFolder
    card: Mapping[str, Any]
    shown: WholeRun


class RunStore:
    """The runs in the folder `root`, which need not exist."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def runs(self) -> list[Run]:
        """The latest runs, newest first."""
        folders = sorted(self._folders().values(), key=_started, reverse=True)
        return [run for folder in folders[:RUNS_AT_MOST] if (run := _read_run(folder))]

    def run(self, name: str) -> Run | None:
        """The run in the folder of that name; `None` where there is none."""
        folder = self._folders().get(name)
        return _read_run(folder) if folder else None

    def _folders(self) -> dict[str, RunFolder]:
        try:
            below = [path for path in self._root.iterdir() if (path / "run.json").is_file()]
        except OSError:  # nothing was run yet
            return {}
        return {path.name: RunFolder(path) for path in below}


def _read_run(folder: RunFolder) -> Run | None:
    """`None` where its files cannot be read, or are just being removed."""
    try:
        card = folder.card()
        return Run(folder, card, _show(folder, card))
    except (OSError, ValueError, DataError):
        return None


def _show(folder: RunFolder, card: Mapping[str, Any]) -> WholeRun:
    """Raises `ValueError` where a file holds something else than a run has."""
    state, progress, summary = folder.state(), folder.read_progress(), _read_summary(folder)
    known = summary or {}
    age = max(0.0, time.time() - progress.at) if progress else 0.0
    return WholeRun(
        id=folder.root.name,
        state=state,
        started=datetime.fromtimestamp(_started(folder), UTC).isoformat(timespec="seconds"),
        profile=Path(str(card.get("profile", ""))).stem,
        data=Path(str(card.get("data", ""))).name,
        split=card.get("split"),
        replay="replay" in card,
        questions=known["rows"] if "rows" in known else progress.total if progress else _count_rows(folder.questions),
        incomplete=known.get("incomplete"),
        accuracy=known.get("systems", {}).get("coe"),
        progress=RunProgress(**asdict(progress), age=age) if progress and state != "finished" else None,
        summary={name: known[name] for name in _SHOWN if name in known} if summary else None,
    )


def _started(folder: RunFolder) -> float:
    """`run.json` is written once."""
    card = folder.root / "run.json"
    return card.stat().st_mtime if card.exists() else 0.0


def _count_rows(folder: Path) -> int:
    try:
        return sum(pq.read_metadata(file).num_rows for file in folder.glob("*.parquet"))
    except (OSError, ArrowException):
        return 0


def _read_summary(folder: RunFolder) -> dict[str, Any] | None:
    """`None` where there is none yet."""
    try:
        return _parse_summary(folder.summary, folder.summary.stat().st_mtime_ns)
    except OSError:
        return None


@lru_cache(maxsize=2 * RUNS_AT_MOST)
def _parse_summary(path: Path, _written: int) -> dict[str, Any] | None:
    try:
        summary: dict[str, Any] = orjson.loads(path.read_bytes())
    except ValueError:
        return None
    return summary if isinstance(summary, dict) else None
