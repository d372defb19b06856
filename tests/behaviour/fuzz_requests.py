"""Requests as bytes, so that they may be as wrong as they like, and many of them sent at once."""

import asyncio
import io
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from http.client import HTTPMessage, HTTPResponse
from typing import cast

PATIENCE_S = 60.0


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
    """Ask over a connection of its own and read until it ends."""
    host, port = url.removeprefix("http://").split(":")
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(request.wire())
            received = await reader.read()
        finally:
            writer.close()
    assert received, f"no answer to {request}"
    return _parsed(request, received)


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
