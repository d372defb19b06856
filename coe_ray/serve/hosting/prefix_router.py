"""Prompts that begin alike go to the replica that has their beginning in its cache, as long as it is not much busier.

Serve's own router for this (`ray.serve.llm.request_router.PrefixCacheAffinityRouter`) would bring vLLM into every
process that calls the model (466 MB), and it waits for an actor twice a request while nothing else in the process runs.
Here each caller remembers where it sent what; a caller that knows nothing yet routes as Serve does by default.
"""

from collections.abc import Iterator
from typing import Any

from cachetools import LRUCache
from ray.serve._private.request_router import PowerOfTwoChoicesRequestRouter  # what Ray's own is built on, too
from ray.serve.request_router import (
    LocalityMixin,
    MultiplexMixin,
    PendingRequest,
    ReplicaID,
    RequestRouter,
    RunningReplica,
)

BLOCK = 256
"""Characters that are remembered as one; an engine's cache has blocks of about a quarter of that."""

BLOCKS = 20_000
"""Remembered at most: 5 million characters, more than the caches of several cards hold."""

IMBALANCE = 8
"""Requests by which a replica may be busier than another before its cache is no reason to choose it."""


class Beginnings:
    """Which replicas were sent a prompt with this beginning, block by block."""

    def __init__(self) -> None:
        self._holders: LRUCache[int, set[ReplicaID]] = LRUCache(BLOCKS)

    def holders(self, prompt: str, living: set[ReplicaID]) -> set[ReplicaID]:
        """The living replicas that know the most of it; none where none knows its first block."""
        best: set[ReplicaID] = set()
        for block in _blocks(prompt):
            known = self._holders.get(block, set()) & living
            if not known:
                return best
            best = known
        return best

    def remember(self, prompt: str, replica: ReplicaID) -> None:
        for block in _blocks(prompt):
            self._holders[block] = self._holders.get(block, set()) | {replica}


def _blocks(prompt: str) -> Iterator[int]:
    """A number for each whole block, and for all before it."""
    number = 0
    for end in range(BLOCK, len(prompt) + 1, BLOCK):
        number = hash((number, prompt[end - BLOCK : end]))
        yield number


def prompt_of(request: PendingRequest) -> str:
    """All that is said to a `ChatEngine`, one message after the other; nothing of a call that is no chat."""
    body: Any = request.args[0] if request.args else None
    return "".join(message["content"] for message in body["messages"]) if isinstance(body, dict) else ""


class PrefixRouter(LocalityMixin, MultiplexMixin, RequestRouter):  # type: ignore[misc]  # ray ships no types for it
    """Serve makes one for each handle, and runs it on the caller's event loop: nothing here waits for anybody."""

    def initialize_state(self, **_: object) -> None:
        self._beginnings = Beginnings()

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """First who knows the beginning, the least busy of them; then two at random, of which Serve takes the idler."""
        any_two: list[list[RunningReplica]] = await PowerOfTwoChoicesRequestRouter.choose_replicas(
            self, candidate_replicas, pending_request
        )
        if pending_request is None:
            return any_two
        living = {replica.replica_id: replica for replica in candidate_replicas}
        waiting = {each: self.replica_queue_len_cache.get(each) or 0 for each in living}
        holders = self._beginnings.holders(prompt_of(pending_request), set(living))
        free = [living[each] for each in holders if waiting[each] - min(waiting.values()) < IMBALANCE]
        return [free, *any_two] if free else any_two

    def on_request_routed(
        self,
        pending_request: PendingRequest,
        replica_id: ReplicaID,
        result: object,  # noqa: ARG002  # Serve passes it by name
    ) -> None:
        self._beginnings.remember(prompt_of(pending_request), replica_id)
