"""An OpenAI-compatible endpoint that fails as told: each request gets the next `Reply` of its script.

The last reply of a script is repeated, so `[Reply(status=503)]` is a server that is down for good. After `mixed` it
answers with the question itself, or plays one of the given faults, at random. It counts what was asked of it:
`served`, the `peak` of requests at once, each request's `bodies` and `headers`, and by `kinds` what it played.
"""

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web


@dataclass(frozen=True)
class Reply:
    """One scripted reply: wait `delay_s`, then `body` (or `pieces`, one at a time, `gap_s` apart).

    `reset`: the connection is reset instead. `cut`: it is closed after the pieces, short of the promised end.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    reset: bool = False
    pieces: tuple[bytes, ...] = ()
    gap_s: float = 0.0
    cut: bool = False


class FaultServer:
    """The server and what it has seen."""

    def __init__(self) -> None:
        self.script: list[Reply] = []
        self.base_url = ""
        self.reset()

    def reset(self, *script: Reply) -> None:
        """Start over, with another script."""
        self.script = list(script)
        self._faults: Mapping[str, Reply] = {}
        self._share, self._chance = 0.0, random.Random(0)
        self.kinds: Counter[str] = Counter()
        self.served = self.live = self.peak = 0
        self.bodies: list[dict[str, object]] = []
        self.headers: list[Mapping[str, str]] = []

    def mixed(self, faults: Mapping[str, Reply], *, share: float = 0.3, seed: int = 0) -> None:
        """Start over: a `share` of the requests gets one of the faults, all others the last message back."""
        self.reset()
        self._faults = faults
        self._share, self._chance = share, random.Random(seed)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        self.bodies.append(body)
        self.headers.append(request.headers)
        reply = self._drawn(body) if self._faults else self.script[min(self.served, len(self.script) - 1)]
        self.served += 1
        self.live += 1
        self.peak = max(self.peak, self.live)
        try:
            return await _given(request, reply)
        finally:
            self.live -= 1

    def _drawn(self, body: dict[str, Any]) -> Reply:
        kind = self._chance.choice(list(self._faults)) if self._chance.random() < self._share else "answer"
        self.kinds[kind] += 1
        return self._faults[kind] if kind != "answer" else _echo(body)


@asynccontextmanager
async def running() -> AsyncIterator[FaultServer]:
    """A fault server on a free port of this machine."""
    server, app = FaultServer(), web.Application()
    app.router.add_post("/v1/chat/completions", server.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def speaking(raw: bytes | None) -> AsyncIterator[int]:
    """The port of a server that says `raw` to all who connect and hangs up; `None`: it says nothing."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if raw is None:
            await reader.read()
        else:
            await reader.read(1)
            writer.write(raw)
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


def answer(text: str | None, reason: str | None = "stop", **message: object) -> Reply:
    """A whole completion."""
    choice = {
        "index": 0,
        "finish_reason": reason,
        "message": {"role": "assistant", "content": text, **message},
    }
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    return Reply(body=orjson.dumps({"id": "x", "choices": [choice], "usage": usage}))


def fault(status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None) -> Reply:
    """An error as OpenAI words it."""
    error = {"message": message, "type": "some_error", "param": None, "code": code}
    return Reply(status, orjson.dumps({"error": error}), headers or {})


def event(payload: object) -> bytes:
    return b"data: " + orjson.dumps(payload) + b"\n\n"


def piece(reason: str | None = None, **delta: object) -> bytes:
    """One event of a streamed completion."""
    return event({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})


USAGE = event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}})
DONE = b"data: [DONE]\n\n"


def streamed(*pieces: bytes, cut: bool = False, gap_s: float = 0.0) -> Reply:
    return Reply(pieces=pieces, headers={"Content-Type": "text/event-stream"}, cut=cut, gap_s=gap_s)


def in_bytes(pieces: Sequence[bytes], size: int) -> list[bytes]:
    """The same bytes, cut elsewhere."""
    whole = b"".join(pieces)
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def _echo(body: dict[str, Any]) -> Reply:
    text = body["messages"][-1]["content"]
    return streamed(piece(content=text), piece("stop"), USAGE, DONE) if body.get("stream") else answer(text)


async def _given(request: web.Request, reply: Reply) -> web.StreamResponse:
    await asyncio.sleep(reply.delay_s)
    if reply.reset:
        _reset(request)
        return web.Response()
    if reply.pieces:
        return await _in_pieces(request, reply)
    return web.Response(status=reply.status, body=reply.body, headers=reply.headers)


async def _in_pieces(request: web.Request, reply: Reply) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    await response.prepare(request)
    for part in reply.pieces:
        await response.write(part)
        await asyncio.sleep(reply.gap_s)
    if reply.cut and request.transport is not None:
        request.transport.close()
    return response


def _reset(request: web.Request) -> None:
    """Hang up with a TCP RST: what lingers for zero seconds is thrown away."""
    transport = request.transport
    if transport is not None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
