"""One call for what many ask at the same time: a hop between processes costs as much for eight questions as for one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_CALLS = 4
"""Calls under way, at most. What is asked meanwhile goes together into the next ones."""

MAX_ITEMS = 16
"""Items of one call."""


class Coalescer(Generic[Item, Result]):
    """Asks `ask_all` with a list, whose results come in the same order. Nobody waits while a call is free.

    An error of a call is everybody's who is in it. Serves one event loop.
    """

    def __init__(self, ask_all: Callable[[list[Item]], Awaitable[Sequence[Result]]]) -> None:
        self._ask_all = ask_all
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._calls: dict[asyncio.Task[None], list[asyncio.Future[Result]]] = {}

    async def ask(self, item: Item) -> Result:
        """The result for one item. A call that all have left is cancelled, and one that they left early not made."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._begin()
        try:
            return await future
        except asyncio.CancelledError:
            self._cancel_abandoned()
            raise

    def _begin(self) -> None:
        while self._waiting and len(self._calls) < MAX_CALLS:
            batch, self._waiting = self._waiting[:MAX_ITEMS], self._waiting[MAX_ITEMS:]
            if wanted := [each for each in batch if not each[1].done()]:
                call = asyncio.create_task(self._call(wanted))
                self._calls[call] = [future for _, future in wanted]
                call.add_done_callback(self._ended)

    def _ended(self, call: asyncio.Task[None]) -> None:
        del self._calls[call]
        self._begin()

    def _cancel_abandoned(self) -> None:
        for call, futures in self._calls.items():
            if all(future.cancelled() for future in futures):
                call.cancel()

    async def _call(self, wanted: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._ask_all([item for item, _ in wanted])
        except Exception as error:  # handed to everyone who waits for it
            for _, future in wanted:
                if not future.done():
                    future.set_exception(copy(error))
            return
        for (_, future), result in zip(wanted, results, strict=True):
            if not future.done():  # its caller may have left
                future.set_result(result)
