"""The billing audit: what a journal says was asked for, paid twice, given up or had for nothing."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coe_ray.core.errors import CallError, ContentFiltered
from coe_ray.core.types import Completion
from coe_ray.journal.entries import JournalEntry
from coe_ray.journal.segments import Segment, is_segment, run_of
from coe_ray.journal.storage import JournalStorage, open_storage


@dataclass(frozen=True, slots=True)
class Audit:
    """One model's calls, counted.

    `issued` left the process, `completed` came to an answer, a refusal or a failure, and `abandoned` to nothing:
    the worker died. `repeated` were issued though the same call had been before. `reused` came out of the journal.
    `retried` are the tries beyond each completed call's first; `failed` counts no refusals.
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


def audit_calls(place: str | Path, run: str = "") -> dict[str, Audit]:
    """The calls of every model, by its name, in the segments that `run` wrote (all, where it has no name).

    Raises `DataError` where the place cannot be read. What a killed worker had not sealed in an object store is
    not there to be counted.
    """
    opened = open_storage(place)
    tallies: defaultdict[str, _Tally] = defaultdict(_Tally)
    seen: set[bytes] = set()
    try:
        for record in _records(opened, run):
            tallies[record.model].count(record, seen)
    finally:
        opened.close()
    return {model: tally.audit() for model, tally in sorted(tallies.items())}


def _records(place: JournalStorage, run: str) -> Iterator[JournalEntry]:
    place.fetch()
    for path in sorted(place.folder.iterdir()):
        if is_segment(path.name) and run in ("", run_of(path.name)):
            yield from (record for _, _, record in Segment(path).records())


@dataclass(slots=True)
class _Tally:
    """Counts in the making."""

    issued: int = 0
    completed: int = 0
    reused: int = 0
    repeated: int = 0
    retried: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def count(self, record: JournalEntry, seen: set[bytes]) -> None:
        """Count one record; `seen` are the keys that were issued before it."""
        match record.outcome:
            case Completion() as answer:
                self._complete(answer.attempts)
                self.prompt_tokens += answer.usage.prompt_tokens
                self.completion_tokens += answer.usage.completion_tokens
            case CallError() as error:
                self._complete(error.attempts)
                self.failed += not isinstance(error, ContentFiltered)
            case None:
                self._pass(record, seen)

    def audit(self) -> Audit:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return Audit(**values, abandoned=self.issued - self.completed)

    def _pass(self, record: JournalEntry, seen: set[bytes]) -> None:
        if record.kind == "reused":
            self.reused += 1
            return
        self.issued += 1
        self.repeated += record.key in seen
        seen.add(record.key)

    def _complete(self, attempts: int) -> None:
        self.completed += 1
        self.retried += attempts - 1
