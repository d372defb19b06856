"""Billing audit: counts of a journal's calls that were issued, repeated, abandoned or reused."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from coe_ray.core.errors import CannotAnswer, ContentFiltered
from coe_ray.core.types import Completion
from coe_ray.journal.entries import JournalEntry
from coe_ray.journal.segments import SegmentReader, journal_folder, run_of, segment_names


@dataclass(slots=True)
class Audit:
    """Counts of one model's calls.

    `issued` left the process; `completed` ended in an answer, a refusal or a failure; `abandoned` never ended, as the
    worker died. `repeated` were issued although the same call had been issued before. `reused` came out of the
    journal. `retried` are the tries beyond each completed call's first; `failed` does not count refusals.
    """

    issued: int = 0
    completed: int = 0
    reused: int = 0
    repeated: int = 0
    abandoned: int = 0
    retried: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def count(self, entry: JournalEntry, seen: set[bytes]) -> None:
        """Count one entry; `seen` are the keys that were issued before it."""
        outcome = entry.outcome
        if entry.kind == "reused":
            self.reused += 1
        elif outcome is None:
            self.issued += 1
            self.repeated += entry.key in seen
            seen.add(entry.key)
        else:
            self.completed += 1
            self.retried += outcome.attempts - 1
            if isinstance(outcome, Completion):
                self.prompt_tokens += outcome.usage.prompt_tokens
                self.completion_tokens += outcome.usage.completion_tokens
            else:
                self.failed += not isinstance(outcome, ContentFiltered | CannotAnswer)
        self.abandoned = self.issued - self.completed


def audit_calls(folder: str | Path, run: str = "") -> dict[str, Audit]:
    """The calls of every model, by its name, in the segments of `run` (of all runs, where it is empty).

    Raises `DataError` where the folder cannot be read.
    """
    audits: defaultdict[str, Audit] = defaultdict(Audit)
    seen: set[bytes] = set()
    place = journal_folder(folder)
    for name in segment_names(place):
        if run in ("", run_of(name)):
            for _, _, entry in SegmentReader(place / name).read_entries():
                audits[entry.model].count(entry, seen)
    return dict(sorted(audits.items()))
