"""Fault server: a fake upstream that fails as scripted, or at random.

The last reply of a script is repeated, so `[Reply(status=503)]` is a server that is down for good.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from tests.support.upstream import (
    DONE,
    USAGE,
    ChatRequest,
    FakeUpstream,
    Reply,
    answer,
    completion,
    event,
    fault,
    in_bytes,
    piece,
    streamed,
)

__all__ = [
    "DONE",
    "USAGE",
    "FaultServer",
    "Reply",
    "answer",
    "event",
    "fault",
    "in_bytes",
    "piece",
    "running",
    "speaking",
    "streamed",
]


class FaultServer(FakeUpstream):
    """Each request gets the next reply of `script`; after `mixed`, an echo or a fault. `kinds` counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.reset()

    def reset(self, *script: Reply) -> None:
        """Start over, with another script."""
        self.clear()
        self.script = list(script)
        self._faults: Mapping[str, Reply] = {}
        self._share, self._chance = 0.0, random.Random(0)
        self.kinds: Counter[str] = Counter()

    def mixed(self, faults: Mapping[str, Reply], *, share: float = 0.3, seed: int = 0) -> None:
        """Start over: a `share` of the requests gets one of the faults, all others the last message back."""
        self.reset()
        self._faults = faults
        self._share, self._chance = share, random.Random(seed)

    def respond(self, request: ChatRequest) -> Reply:
        if not self._faults:
            return self.script[min(self.served, len(self.script)) - 1]
        kind = self._chance.choice(list(self._faults)) if self._chance.random() < self._share else "answer"
        self.kinds[kind] += 1
        return self._faults[kind] if kind != "answer" else completion(request, request.prompt)


@asynccontextmanager
async def running() -> AsyncIterator[FaultServer]:
    """A fault server on a free port of this machine."""
    async with FaultServer().running() as server:
        yield server


@asynccontextmanager
async def speaking(raw: bytes | None) -> AsyncIterator[int]:
    """The port of a server that sends `raw` to every client and hangs up; `None`: it sends nothing."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if raw is None:
            await reader.read()
        else:
            await reader.read(1)
            writer.write(raw)
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
