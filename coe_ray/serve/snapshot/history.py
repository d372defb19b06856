"""The changes that a deployed profile was given, kept where every replica finds them, also one that starts later."""

from dataclasses import dataclass
from typing import Any

import orjson
from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_put

from coe_ray.cluster.governors import NAMESPACE

KEPT = 50


@dataclass(frozen=True, slots=True)
class Change:
    """A JSON merge patch to the deployed profile, and the version that it makes of it."""

    content: dict[str, Any]
    version: str


class ChangeHistory:
    """In the cluster's control service, for one deployed profile, by its hash. `version`: of it without changes."""

    def __init__(self, profile: str, version: str) -> None:
        self._profile = profile
        self._version = version

    def read(self) -> list[Change]:
        """Oldest first; the first is no change at all, as long as there were fewer than `KEPT`."""
        written = _internal_kv_get(self._profile, namespace=NAMESPACE)
        return [Change(**change) for change in orjson.loads(written)] if written else [Change({}, self._version)]

    def note(self, change: Change) -> None:
        """Written by every replica that took it, once in all. The last but one again: that was a step back."""
        changes = self.read()
        # By their contents: a leaderboard that was written anew makes another version of the same change.
        *_, before_last, last = [None, *(each.content for each in changes)]
        if last == change.content:
            return
        changes = changes[:-1] if before_last == change.content else [*changes, change][-KEPT:]
        _internal_kv_put(self._profile, orjson.dumps(changes), overwrite=True, namespace=NAMESPACE)
