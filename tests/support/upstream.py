"""Fake upstream: an OpenAI-compatible API on this machine that gives scripted replies and records its requests.

A subclass says in `respond` what each request gets; without one, a request gets its last message back. Text, latency,
usage, faults, streams and broken connections are all fields of `Reply`.
"""

import asyncio
import re
import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import orjson
from aiohttp import web

CHAT = "/v1/chat/completions"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Reply:
    """One reply: wait `delay_s`, then `body` (or `pieces`, one at a time, `gap_s` apart).

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


@dataclass(frozen=True)
class ChatRequest:
    """A request's JSON body and headers."""

    body: dict[str, Any]
    headers: Mapping[str, str]

    @property
    def model(self) -> str:
        return str(self.body["model"])

    @property
    def prompt(self) -> str:
        """The text of the last message."""
        content = self.body["messages"][-1]["content"]
        return "\n".join(part.get("text", "") for part in content) if isinstance(content, list) else str(content)

    @property
    def stream(self) -> bool:
        return bool(self.body.get("stream"))


class FakeUpstream:
    """The API and its record: `served` requests, `live` and at most `peak` at once, `abandoned` by their clients."""

    notices_abandonment = False
    """Whether a request ends with its client's connection; else it is served to its end, and always counted."""

    def __init__(self) -> None:
        self.base_url = ""
        self._unread: set[asyncio.Transport] = set()
        self.clear()

    def clear(self) -> None:
        """Forget what was recorded."""
        self.served = self.live = self.peak = self.abandoned = 0
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []

    def respond(self, request: ChatRequest) -> Reply:
        """The reply to a request, which counts in `served` and `live` already."""
        return completion(request, request.prompt)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The handler of `CHAT`."""
        received = ChatRequest(orjson.loads(await request.read()), request.headers)
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        self.bodies.append(received.body)
        self.headers.append(received.headers)
        self._unread.discard(transport)
        self.served += 1
        self.live += 1
        self.peak = max(self.peak, self.live)
        try:
            return await _send(request, self.respond(received))
        except (asyncio.CancelledError, ConnectionError):
            self.abandoned += 1
            raise
        finally:
            self.live -= 1
            self._unread.add(transport)

    @property
    def in_flight(self) -> int:
        """Calls that are served now, and those whose answer was perhaps not read.

        A client shows that it has read an answer by another request over the same connection. A call that stands in
        a buffer when its reader is killed is as lost as one that is being served.
        """
        return self.live + len(self._unread)

    def forget_closed(self) -> None:
        """Not count connections that were closed in good order."""
        self._unread = {transport for transport in self._unread if not transport.is_closing()}

    @contextmanager
    def started(self) -> Iterator[Self]:
        """Serve in a thread, on a free port."""
        with serve_in_thread({CHAT: self.answer}, handler_cancellation=self.notices_abandonment) as url:
            self.base_url = f"{url}/v1"
            yield self

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Serve on the running event loop, on a free port."""
        runner, url = await _listen({CHAT: self.answer}, handler_cancellation=self.notices_abandonment)
        self.base_url = f"{url}/v1"
        try:
            yield self
        finally:
            await runner.cleanup()


@contextmanager
def serve_in_thread(handlers: Mapping[str, Handler], *, handler_cancellation: bool = False) -> Iterator[str]:
    """The URL of a server with these POST handlers in a thread of its own, for tests that wait for processes."""
    loop = asyncio.new_event_loop()
    up, stop, urls = threading.Event(), asyncio.Event(), list[str]()

    async def serve() -> None:
        runner, url = await _listen(handlers, handler_cancellation=handler_cancellation)
        urls.append(url)
        up.set()
        await stop.wait()
        await runner.cleanup()
        # Requests of killed clients may still be under way.
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert up.wait(10)
    try:
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


async def _listen(handlers: Mapping[str, Handler], *, handler_cancellation: bool) -> tuple[web.AppRunner, str]:
    app = web.Application()
    for path, handler in handlers.items():
        app.router.add_post(path, handler)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=handler_cancellation, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


def answer(text: str | None, reason: str | None = "stop", *, completion_tokens: int = 3, **message: object) -> Reply:
    """A whole completion."""
    choice = {
        "index": 0,
        "finish_reason": reason,
        "message": {"role": "assistant", "content": text, **message},
    }
    usage = {"prompt_tokens": 7, "completion_tokens": completion_tokens, "total_tokens": 7 + completion_tokens}
    return Reply(body=orjson.dumps({"id": "x", "choices": [choice], "usage": usage}))


def completion(request: ChatRequest, text: str, *, reasoning: str = "") -> Reply:
    """A completion in the form that the request asks for: whole, or streamed word by word, its reasoning first."""
    if not request.stream:
        return answer(text, reasoning_content=reasoning) if reasoning else answer(text)
    thought = (piece(reasoning_content=word) for word in _words(reasoning))
    return streamed(*thought, *(piece(content=word) for word in _words(text)), piece("stop"), USAGE, DONE)


def tool_calls(request: ChatRequest, calls: Mapping[str, object]) -> Reply:
    """A completion that calls tools by name with these arguments; in a stream a few characters at a time."""
    named = [
        {
            "id": f"call_{name}",
            "type": "function",
            "function": {"name": name, "arguments": orjson.dumps(given).decode()},
        }
        for name, given in calls.items()
    ]
    if not request.stream:
        return answer(None, "tool_calls", tool_calls=named)
    pieces = [piece(role="assistant", content=None)]
    for index, call in enumerate(named):
        function: dict[str, str] = call["function"]  # type: ignore[assignment]  # the others are texts
        begun = {**call, "index": index, "function": {**function, "arguments": ""}}
        slices = re.findall(r"(?s).{1,7}", function["arguments"])
        rest = [{"index": index, "function": {"arguments": each}} for each in slices]
        pieces += [piece(tool_calls=[each]) for each in (begun, *rest)]
    return streamed(*pieces, piece("tool_calls"), USAGE, DONE)


def _words(text: str) -> list[str]:
    return re.findall(r"\s*\S+", text)


def fault(status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None) -> Reply:
    """An error in OpenAI's form."""
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


async def _send(request: web.Request, reply: Reply) -> web.StreamResponse:
    await asyncio.sleep(reply.delay_s)
    if reply.reset:
        _reset(request)
        return web.Response()
    if reply.pieces:
        return await _send_pieces(request, reply)
    headers = {"Content-Type": "application/json", **reply.headers}
    return web.Response(status=reply.status, body=reply.body, headers=headers)


async def _send_pieces(request: web.Request, reply: Reply) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    await response.prepare(request)
    for part in reply.pieces:
        await response.write(part)
        await asyncio.sleep(reply.gap_s)
    if reply.cut and request.transport is not None:
        request.transport.close()
    return response


def _reset(request: web.Request) -> None:
    """Close with a TCP RST: zero seconds of linger discard what is still to be sent."""
    transport = request.transport
    if transport is not None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
