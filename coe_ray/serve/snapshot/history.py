"""The history of hot changes, kept in the cluster, where every replica finds it, also one that starts later."""

from dataclasses import dataclass
from typing import Any, Protocol

import orjson

KEPT = 50
"""Changes in a history, at most."""

KEPT_STATES = 4
"""Former states left for readers that have listed the keys and not read them yet."""


@dataclass(frozen=True, slots=True)
class Change:
    """A JSON merge patch to the deployed profile, and the version that it makes of it."""

    content: dict[str, Any]
    version: str


class KeyValueStore(Protocol):
    """Storage shared by all replicas. `add` is atomic: of several writers of one key, one succeeds."""

    def keys(self, prefix: str) -> list[str]: ...

    def get(self, key: str) -> bytes | None: ...

    def add(self, key: str, value: bytes) -> bool:
        """Whether it was added; False where the key exists, whose value stays."""
        ...

    def delete(self, key: str) -> None: ...


class ChangeHistory:
    """Changes of one deployed profile, oldest first.

    Each state of the history is a key of its own, numbered; it is never overwritten. A writer adds the state after the
    one that it read; where another was faster, it reads again. So no change is lost.
    """

    def __init__(self, store: KeyValueStore, profile: str, version: str) -> None:
        """`profile`: hash of the deployed profile. `version`: its version without changes."""
        self._store = store
        self._prefix = f"changes/{profile}/"
        self._first = Change({}, version)

    def read(self) -> list[Change]:
        """The first is the empty change, as long as there are fewer than `KEPT`."""
        return self._read()[1]

    def append(self, change: Change) -> None:
        """Called by every replica that took the change; recorded once. The last but one again is a step back."""
        added = False
        while not added:
            number, changes = self._read()
            # Compared by content: a leaderboard that was rewritten gives the same change another version.
            *_, before_last, last = [None, *(each.content for each in changes)]
            if last == change.content:
                return
            changes = changes[:-1] if before_last == change.content else [*changes, change][-KEPT:]
            added = self._store.add(self._key(number + 1), orjson.dumps(changes))
        self._store.delete(self._key(number + 1 - KEPT_STATES))

    def _read(self) -> tuple[int, list[Change]]:
        """The latest state and its number; 0 where there is none."""
        while keys := self._store.keys(self._prefix):
            latest = max(keys)
            if (content := self._store.get(latest)) is not None:  # else: deleted since, as newer ones are there
                return int(latest.removeprefix(self._prefix)), [Change(**change) for change in orjson.loads(content)]
        return 0, [self._first]

    def _key(self, number: int) -> str:
        return f"{self._prefix}{number:010}"
