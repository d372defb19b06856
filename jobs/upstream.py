"""An OpenAI-compatible endpoint with a fixed latency, to measure others with.

    python -m jobs.upstream --latency 0.2

It prints its port, answers every question with A after `--latency` seconds, as a stream on request, and a share of the
calls with 503 at once. `GET /stats` returns counts, and the seconds between the first call and the last answer.
"""

import argparse
import asyncio
import random
import time
from dataclasses import asdict, dataclass

import orjson
import uvloop
from aiohttp import web


@dataclass(slots=True)
class Stats:
    """Calls received, failed on purpose, in flight now and at most; `seconds` from first call to last answer."""

    calls: int = 0
    failed: int = 0
    live: int = 0
    peak: int = 0
    seconds: float = 0.0


class Upstream:
    """The server, and its counts since they were last read."""

    def __init__(self, latency_s: float, failing: float, seed: int = 0) -> None:
        self._latency_s = latency_s
        self._failing = failing
        self._chance = random.Random(seed)  # noqa: S311  # no secret is made of it
        self._stats = Stats()
        self._began = 0.0

    async def answer(self, request: web.Request) -> web.Response:
        # A quote inside a JSON text has a backslash before it, so this matches the key only.
        body = await request.read()
        streamed = any(mark in body for mark in _STREAMED)
        stats = self._stats
        self._began = self._began if stats.calls else time.monotonic()
        stats.calls += 1
        stats.live += 1
        stats.peak = max(stats.peak, stats.live)
        try:
            if self._chance.random() < self._failing:
                stats.failed += 1
                return web.Response(status=503, body=_FAULT, content_type="application/json")
            if self._latency_s:
                await asyncio.sleep(self._latency_s)
            return _events() if streamed else web.Response(body=_ANSWER, content_type="application/json")
        finally:
            stats.live -= 1
            stats.seconds = time.monotonic() - self._began

    async def stats(self, _request: web.Request) -> web.Response:
        """Counts so far; the next call starts new ones."""
        counts, self._stats = self._stats, Stats()
        return web.Response(body=orjson.dumps(asdict(counts)), content_type="application/json")


def _events() -> web.Response:
    return web.Response(body=_STREAM, content_type="text/event-stream")


_STREAMED = (b'"stream":true', b'"stream": true')
_FAULT = orjson.dumps({"error": {"message": "overloaded", "type": "server_error"}})
_HEAD = {"id": "x", "created": 0, "model": "fixed"}
_USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
_MESSAGE = {"role": "assistant", "content": "the answer is (A)"}
_ANSWER = orjson.dumps(
    {
        **_HEAD,
        "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": "stop", "message": _MESSAGE}],
        "usage": _USAGE,
    }
)
_CHUNK = {**_HEAD, "object": "chat.completion.chunk"}
_CHUNKS = (
    {**_CHUNK, "choices": [{"index": 0, "finish_reason": None, "delta": _MESSAGE}]},
    {**_CHUNK, "choices": [{"index": 0, "finish_reason": "stop", "delta": {}}]},
    {**_CHUNK, "choices": [], "usage": _USAGE},
)
_STREAM = b"".join(b"data: %b\n\n" % chunk for chunk in (*map(orjson.dumps, _CHUNKS), b"[DONE]"))


async def serve(upstream: Upstream) -> None:
    """Serve on a free port of this machine, which is printed, until the process ends."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", upstream.answer)
    app.router.add_get("/stats", upstream.stats)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--latency", type=float, default=0.2, metavar="S", help="seconds before an answer")
    parser.add_argument("--failing", type=float, default=0.0, metavar="SHARE", help="share of the calls that get 503")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    args = parser.parse_args()
    uvloop.run(serve(Upstream(args.latency, args.failing)))
