"""The endpoint behind the kill tests: takes its time, and knows of every call how often it was served."""

import asyncio
import random
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.bench.marked import LETTERS, Mark, mark_in
from tests.bench.upstream import served

FASTEST_S, SLOWEST_S = 0.1, 0.3


@dataclass
class Provider:
    """`served` counts by model and question. Each answer is longer by `padding` bytes that cannot be compressed."""

    base_url: str = ""
    padding: int = 0
    served: Counter[tuple[str, int]] = field(default_factory=Counter)
    delays: random.Random = field(default_factory=lambda: random.Random(0))
    live: int = 0
    _perhaps_unread: set[asyncio.Transport] = field(default_factory=set)

    async def answer(self, request: web.Request) -> web.Response:
        body, transport = await request.json(), request.transport
        assert isinstance(transport, asyncio.Transport)
        mark = mark_in(body["messages"][-1]["content"])
        self.served[body["model"], mark.number] += 1
        self._perhaps_unread.discard(transport)
        self.live += 1
        try:
            await asyncio.sleep(self.delays.uniform(FASTEST_S, SLOWEST_S))
        finally:
            self.live -= 1
            self._perhaps_unread.add(transport)
        return _completion(f"{noise(mark.number, self.padding)} {said(body['model'], mark)}")

    @property
    def in_flight(self) -> int:
        """Calls that are served now, and those whose answer was perhaps not read.

        Who has read an answer shows it by asking something else over the same connection. A call that stands in a
        buffer when its reader is killed is as lost as one that is being served.
        """
        return self.live + len(self._perhaps_unread)

    def forget_closed(self) -> None:
        """Not count connections that were closed in good order."""
        self._perhaps_unread = {each for each in self._perhaps_unread if not each.is_closing()}

    def start_over(self, seed: int) -> None:
        self.served.clear()
        self.delays = random.Random(seed)
        self.forget_closed()


def said(model: str, mark: Mark) -> str:
    """Always the same to the same question; right in about half of the cases."""
    drawn = zlib.crc32(f"{model} {mark.number}".encode())
    letter = mark.right if drawn % 2 else LETTERS[drawn // 2 % len(LETTERS)]
    return f"the answer is ({letter})"


def noise(seed: int, size: int) -> str:
    return random.Random(seed).randbytes(size // 2).hex()


@contextmanager
def provider() -> Iterator[Provider]:
    """The provider, on a free port."""
    started = Provider()
    with served(started.answer) as started.base_url:
        yield started


def _completion(text: str) -> web.Response:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 4}})
