"""First come, first served: how many calls are under way, who waits, and whose turn is next."""

import asyncio
import math
from collections import OrderedDict


class FairQueue:
    """At most `slots` turns at a time, and `starts` from now on; none at all while it is `held`.

    Whoever changes one of these calls `admit()` afterwards. `begun` counts the turns that began.
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
        """Begin a turn at once, where one is free and nobody waits for it."""
        if self._queue or not self._free():
            return False
        self._begin()
        return True

    async def wait(self) -> None:
        """Begin a turn when it is due. Who is cancelled while he waits takes none away."""
        turn = asyncio.get_running_loop().create_future()
        self._queue[turn] = None
        try:
            await turn
        except asyncio.CancelledError:
            self._queue.pop(turn, None)
            if not turn.cancelled():  # the turn had come, and nobody will use it
                self._undo()
            raise

    def end(self) -> None:
        """A turn is over."""
        self.taken -= 1
        self.admit()

    def admit(self) -> None:
        """Give everybody his turn who can have it now."""
        while self._queue and self._free():
            turn, _ = self._queue.popitem(last=False)
            if not turn.done():
                self._begin()
                turn.set_result(None)

    def clear(self) -> None:
        """Forget who waits, as their event loop is gone, and what was granted."""
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
