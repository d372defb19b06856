"""Queue of calls, first come, first served: slots in use, and waiters in order."""

import asyncio
import math
from collections import OrderedDict


class FairQueue:
    """Queue with at most `slots` calls at a time and `starts` further starts; no start while it is `held`.

    After a change of one of these call `admit()`. `taken` slots are in use; `begun` counts starts.
    """

    def __init__(self) -> None:
        self.slots = 0
        self.starts = math.inf
        self.held = False
        self.taken = 0
        self.begun = 0
        self._queue: OrderedDict[asyncio.Future[None], None] = OrderedDict()

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def take(self) -> bool:
        """Take a slot at once if one is free and the queue is empty."""
        if self._queue or not self._free():
            return False
        self._begin()
        return True

    async def wait(self) -> None:
        """Wait for a slot and take it. A cancelled waiter takes none."""
        waiter = asyncio.get_running_loop().create_future()
        self._queue[waiter] = None
        try:
            await waiter
        except asyncio.CancelledError:
            self._queue.pop(waiter, None)
            if not waiter.cancelled():  # it had its slot already
                self._undo()
            raise

    def end(self) -> None:
        """Give a slot back."""
        self.taken -= 1
        self.admit()

    def admit(self) -> None:
        """Give free slots to waiters."""
        while self._queue and self._free():
            waiter, _ = self._queue.popitem(last=False)
            if not waiter.done():
                self._begin()
                waiter.set_result(None)

    def clear(self) -> None:
        """Forget the waiters, whose event loop is gone, and the granted slots."""
        self._queue.clear()
        self.slots = 0

    def _free(self) -> bool:
        return self.taken < self.slots and self.starts >= 1 and not self.held

    def _begin(self) -> None:
        self.taken += 1
        self.starts -= 1
        self.begun += 1

    def _undo(self) -> None:
        self.starts += 1
        self.begun -= 1
        self.end()
