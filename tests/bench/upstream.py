"""An OpenAI-compatible endpoint that answers what a mark in the question tells it, and counts what it is asked.

`gamma=B;` is answered with B, `gamma=refused;` by a content filter. A `flaky` question fails once, and a
`fragile` one as long as `down` is set.
"""

import asyncio
import contextlib
import re
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from aiohttp import web

MARK = re.compile(r"Case (\d+)\b.*?gamma=(\w+)( flaky| fragile)?;", re.DOTALL)
FILTERED = {"error": {"message": "stopped by the content filter", "code": "content_filter"}}


@dataclass
class Upstream:
    """The server's settings and what it has seen: `asked` counts requests by the question's number."""

    base_url: str = ""
    down: bool = False
    delay_s: float = 0.0
    asked: Counter[int] = field(default_factory=Counter)

    async def answer(self, request: web.Request) -> web.Response:
        prompt = (await request.json())["messages"][-1]["content"]
        mark = MARK.search(prompt)
        assert mark, prompt
        number, said, temper = int(mark[1]), mark[2], (mark[3] or "").strip()
        self.asked[number] += 1
        first = self.asked[number] == 1
        await asyncio.sleep(self.delay_s)
        if (temper == "fragile" and self.down) or (temper == "flaky" and first):
            return web.json_response({"error": {"message": "out of order"}}, status=503)
        if said == "refused":
            return web.json_response(FILTERED, status=400)
        message = {"role": "assistant", "content": f"the answer is ({said})"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 4}})


@contextlib.contextmanager
def upstream() -> Iterator[Upstream]:
    """The server, on a free port."""
    server = Upstream()
    with served(server.answer) as server.base_url:
        yield server


@contextlib.contextmanager
def served(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Iterator[str]:
    """The base URL of an endpoint that `answer` answers: in a thread of its own, as the tests wait for processes."""
    loop = asyncio.new_event_loop()
    up, stop, urls = threading.Event(), asyncio.Event(), list[str]()

    async def serve() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
        up.set()
        await stop.wait()
        await runner.cleanup()
        # What a killed client had asked is being answered still.
        unread = asyncio.all_tasks() - {asyncio.current_task()}
        for task in unread:
            task.cancel()
        await asyncio.gather(*unread, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert up.wait(10)
    try:
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
