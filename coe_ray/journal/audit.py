"""Billing audit: counts of a journal's calls that were issued, repeated, abandoned or reused."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coe_ray.core.errors import CallError, ContentFiltered
from coe_ray.core.types import Completion
from coe_ray.journal.entries import JournalEntry
from coe_ray.journal.segments import SegmentReader, journal_folder, run_of, segment_names


@dataclass(frozen=True, slots=True)
class Audit:
    """Counts of one model's calls.

    `issued` left the process; `completed` ended in an answer, a refusal or a failure; `abandoned` never ended, as the
    worker died. `repeated` were issued although the same call had been issued before. `reused` came out of the
    journal. `retried` are the tries beyond each completed call's first; `failed` does not count refusals.
    """

    issued: int
    completed: int
    reused: int
    repeated: int
    abandoned: int
    retried: int
    failed: int
    prompt_tokens: int
    completion_tokens: int


def audit_calls(folder: str | Path, run: str = "") -> dict[str, Audit]:
    """The calls of every model, by its name, in the segments of `run` (of all runs, where it is empty).

    Raises `DataError` where the folder cannot be read.
    """
    tallies: defaultdict[str, _Tally] = defaultdict(_Tally)
    seen: set[bytes] = set()
    for entry in _entries(journal_folder(folder), run):
        tallies[entry.model].count(entry, seen)
    return {model: tally.audit() for model, tally in sorted(tallies.items())}


def _entries(folder: Path, run: str) -> Iterator[JournalEntry]:
    for name in segment_names(folder):
        if run in ("", run_of(name)):
            yield from (entry for _, _, entry in SegmentReader(folder / name).read_entries())


@dataclass(slots=True)
class _Tally:
    """Running counts of one model."""

    issued: int = 0
    completed: int = 0
    reused: int = 0
    repeated: int = 0
    retried: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def count(self, entry: JournalEntry, seen: set[bytes]) -> None:
        """Count one entry; `seen` are the keys that were issued before it."""
        match entry.outcome:
            case Completion() as answer:
                self._complete(answer.attempts)
                self.prompt_tokens += answer.usage.prompt_tokens
                self.completion_tokens += answer.usage.completion_tokens
            case CallError() as error:
                self._complete(error.attempts)
                self.failed += not isinstance(error, ContentFiltered)
            case None:
                self._count_start(entry, seen)

    def audit(self) -> Audit:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return Audit(**values, abandoned=self.issued - self.completed)

    def _count_start(self, entry: JournalEntry, seen: set[bytes]) -> None:
        if entry.kind == "reused":
            self.reused += 1
            return
        self.issued += 1
        self.repeated += entry.key in seen
        seen.add(entry.key)

    def _complete(self, attempts: int) -> None:
        self.completed += 1
        self.retried += attempts - 1
