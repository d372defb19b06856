"""An OpenAI-compatible API in a thread of the tests, for models of kind `api`. It does what the last message says.

say …       those words back
settings    the request's own body back, as JSON
break       some text, and then the connection is gone
hang        nothing, until the caller leaves
trickle     a piece of text every tenth of a second, until the caller leaves
"""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

PIECES = ("It was ", "the scheduler ", "and then")


class Upstream:
    """What was asked of it, and how many waiting requests there were and were given up by their callers."""

    def __init__(self) -> None:
        self.url = ""
        self.bodies: list[dict[str, Any]] = []
        self.begun = self.left = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        self.bodies.append(body)
        asked = str(body["messages"][-1]["content"])
        if asked == "hang":
            await self._until_left(asyncio.sleep(60))
        if asked == "settings":
            return await _answered(request, body, json.dumps(body))
        if asked in ("break", "trickle"):
            response = await _opened(request)
            for piece in PIECES:
                await response.write(_event({"role": "assistant", "content": piece}))
            if asked == "trickle":
                await self._until_left(_trickle(response))
            assert request.transport is not None
            request.transport.close()
            return response
        return await _answered(request, body, asked)

    async def _until_left(self, work: Any) -> None:
        self.begun += 1
        try:
            await work
        except (asyncio.CancelledError, ConnectionError):
            self.left += 1
            raise


async def _trickle(response: web.StreamResponse) -> None:
    for _ in range(600):
        await response.write(_event({"content": "tick "}))
        await asyncio.sleep(0.1)


async def _answered(request: web.Request, body: dict[str, Any], text: str) -> web.StreamResponse:
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    if not body.get("stream"):
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": usage})
    response = await _opened(request)
    for piece in re.findall(r"\s*\S+", text):
        await response.write(_event({"content": piece}))
    await response.write(_event({}, "stop"))
    await response.write(f"data: {json.dumps({'choices': [], 'usage': usage})}\n\ndata: [DONE]\n\n".encode())
    return response


async def _opened(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    return response


def _event(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    event = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}
    return f"data: {json.dumps(event)}\n\n".encode()


@contextmanager
def running() -> Iterator[Upstream]:
    """An upstream that listens until the end of the block."""
    upstream, loop, ready = Upstream(), asyncio.new_event_loop(), threading.Event()

    async def listen() -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", upstream.answer)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        upstream.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        return runner

    def work() -> None:
        runner = loop.run_until_complete(listen())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    ready.wait(10)
    yield upstream
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
