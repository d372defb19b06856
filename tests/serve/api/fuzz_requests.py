"""Requests as bytes, so that they may be as wrong as they like, and many of them sent at once."""

import asyncio
import contextlib
import io
import socket
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from http.client import HTTPMessage, HTTPResponse
from typing import cast

import orjson

PATIENCE_S = 60.0

NOT_HTTP = "not HTTP"
"""An unknown method, or a target with bytes that may not stand in one: answered before the application sees it."""

CLOSED = 0
LARGE = 1 << 15
"""Bytes of a body of which some may still be unread when it is refused."""


@dataclass(frozen=True, slots=True)
class Request:
    """`why` says what is wrong with it."""

    why: str
    method: bytes = b"POST"
    target: bytes = b"/v1/chat/completions"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""

    def wire(self) -> bytes:
        lines = [b"%s %s HTTP/1.1" % (self.method, self.target), b"Host: door", b"Connection: close"]
        if self.body or self.method == b"POST":
            lines.append(b"Content-Length: %d" % len(self.body))
        lines += [b"%s: %s" % header for header in self.headers]
        return b"\r\n".join([*lines, b"", self.body])


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back to `request`; its body without transfer coding."""

    request: Request
    status: int
    headers: HTTPMessage
    body: bytes


async def sent(url: str, request: Request) -> Reply:
    """Ask over a connection of its own and read until it ends.

    A server that refuses a large body closes before it has read all of it, and the reply may be lost: `CLOSED`.
    """
    host, port = url.removeprefix("http://").split(":")
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(request.wire())
            received = await _read_all(reader)
        finally:
            writer.close()
    if not received and len(request.body) > LARGE:
        return Reply(request, CLOSED, HTTPMessage(), b"")
    assert received, f"no answer to {request}"
    return _parsed(request, received)


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    received = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while piece := await reader.read(1 << 16):
            received += piece
    return bytes(received)


async def all_sent(url: str, requests: Sequence[Request], at_once: int) -> AsyncIterator[Reply]:
    """Every answer, `at_once` requests at a time, in no order."""
    for start in range(0, len(requests), at_once * 16):
        turns = asyncio.Semaphore(at_once)

        async def in_turn(request: Request, turns: asyncio.Semaphore = turns) -> Reply:
            async with turns:
                return await sent(url, request)

        for asked in asyncio.as_completed([in_turn(each) for each in requests[start : start + at_once * 16]]):
            yield await asked


class _Received:
    """As much of a socket as `HTTPResponse` looks at."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, _: str) -> io.BytesIO:
        return io.BytesIO(self._content)


def _parsed(request: Request, received: bytes) -> Reply:
    response = HTTPResponse(cast(socket.socket, _Received(received)), method=request.method.decode("latin-1"))
    response.begin()
    return Reply(request, response.status, response.headers, response.read())


@dataclass
class FuzzReport:
    """Statuses of the replies, and every reply that must not be: a 5xx, or an error that is not OpenAI's object."""

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def add(self, reply: Reply) -> None:
        self.statuses[reply.status] += 1
        if (reply.status >= 500 and not _is_short_deadline(reply)) or not _has_error_form(reply):
            self.wrong.append(f"{reply.status} {reply.body[:300]!r} for {reply.request.wire()[:600]!r}")


def _is_short_deadline(reply: Reply) -> bool:
    """504 is right where the request itself gave the answer less time than it takes."""
    given = [value for name, value in reply.request.headers if name.lower() == b"x-coe-deadline"]
    return reply.status == 504 and bool(given) and 0 < float(given[0]) < 5


def _has_error_form(reply: Reply) -> bool:
    """Every error is OpenAI's error object; what is not HTTP gets 400, by whoever reads it first."""
    if reply.status < 400 or reply.request.method == b"HEAD":
        return True
    if reply.request.why == NOT_HTTP and reply.status == 400:
        return True
    try:
        error = orjson.loads(reply.body)["error"]
    except (ValueError, KeyError, TypeError):
        return False
    return set(error) == {"message", "type", "param", "code"} and isinstance(error["message"], str)
