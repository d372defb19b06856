"""Queue of calls with fair turns by model: slots in use, and waiters in order."""

import asyncio
import math
from collections import Counter, OrderedDict
from typing import TypeAlias

_Waiters: TypeAlias = OrderedDict[asyncio.Future[None], None]


class FairQueue:
    """Queue with at most `slots` calls at a time and `starts` further starts; no start while it is `held`.

    After a change of one of these call `admit()`. `taken` slots are in use; `begun` counts starts. A free slot goes to
    the waiting model that has the fewest, so that a slow model's calls do not hold up another's; the calls of one model
    are served first come, first served.
    """

    def __init__(self) -> None:
        self.slots = 0
        self.starts = math.inf
        self.held = False
        self.taken = 0
        self.begun = 0
        self._taken_by: Counter[str] = Counter()
        self._queues: dict[str, _Waiters] = {}

    @property
    def waiting(self) -> int:
        return sum(map(len, self._queues.values()))

    def take(self, model: str = "") -> bool:
        """Take a slot for a call of `model` at once if one is free and nobody waits."""
        if self._queues or not self._free():
            return False
        self._begin(model)
        return True

    async def wait(self, model: str = "") -> None:
        """Wait for a slot and take it. A cancelled waiter takes none."""
        waiter = asyncio.get_running_loop().create_future()
        self._queues.setdefault(model, OrderedDict())[waiter] = None
        try:
            await waiter
        except asyncio.CancelledError:
            self._forget(model, waiter)
            if not waiter.cancelled():  # it had its slot already
                self._undo(model)
            raise

    def end(self, model: str = "") -> None:
        """Give a slot back."""
        self.taken -= 1
        self._taken_by[model] -= 1
        self.admit()

    def admit(self) -> None:
        """Give free slots to waiters."""
        while self._queues and self._free():
            model = min(self._queues, key=self._taken_by.__getitem__)
            waiter = next(iter(self._queues[model]))
            self._forget(model, waiter)
            if waiters := self._queues.pop(model, None):
                self._queues[model] = waiters  # last among those that have as many slots
            if not waiter.done():
                self._begin(model)
                waiter.set_result(None)

    def clear(self) -> None:
        """Forget the waiters, whose event loop is gone, and the granted slots."""
        self._queues.clear()
        self.slots = 0

    def _free(self) -> bool:
        return self.taken < self.slots and self.starts >= 1 and not self.held

    def _begin(self, model: str) -> None:
        self.taken += 1
        self._taken_by[model] += 1
        self.starts -= 1
        self.begun += 1

    def _undo(self, model: str) -> None:
        self.starts += 1
        self.begun -= 1
        self.end(model)

    def _forget(self, model: str, waiter: asyncio.Future[None]) -> None:
        waiters = self._queues.get(model, OrderedDict())
        waiters.pop(waiter, None)
        if not waiters:
            self._queues.pop(model, None)
