"""Coalescer: questions that come at the same time share one call. A hop between processes costs as much for eight."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_CALLS = 4
"""Calls under way at the same time. Items that come meanwhile share the next ones."""

MAX_ITEMS = 16
"""Items of one call."""


class Coalescer(Generic[Item, Result]):
    """Makes batch calls of single items. No item waits while a call is free.

    `call_batch` gets a list and returns the results in the same order; an error of it is raised to all its callers.
    Serves one event loop.
    """

    def __init__(self, call_batch: Callable[[list[Item]], Awaitable[Sequence[Result]]]) -> None:
        self._call_batch = call_batch
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._calls: dict[asyncio.Task[None], list[asyncio.Future[Result]]] = {}

    async def submit(self, item: Item) -> Result:
        """The result for one item. A call that all its callers have left is cancelled, or not made at all."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._start_calls()
        try:
            return await future
        except asyncio.CancelledError:
            self._cancel_abandoned()
            raise

    def _start_calls(self) -> None:
        while self._waiting and len(self._calls) < MAX_CALLS:
            batch, self._waiting = self._waiting[:MAX_ITEMS], self._waiting[MAX_ITEMS:]
            if batch := [(item, future) for item, future in batch if not future.done()]:
                call = asyncio.create_task(self._call(batch))
                self._calls[call] = [future for _, future in batch]
                call.add_done_callback(self._finish_call)

    def _finish_call(self, call: asyncio.Task[None]) -> None:
        del self._calls[call]
        self._start_calls()

    def _cancel_abandoned(self) -> None:
        for call, futures in self._calls.items():
            if all(future.cancelled() for future in futures):
                call.cancel()

    async def _call(self, batch: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._call_batch([item for item, _ in batch])
        except Exception as error:  # raised to every caller
            for _, future in batch:
                if not future.done():
                    future.set_exception(copy(error))
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():  # its caller may have left
                future.set_result(result)
