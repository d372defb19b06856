"""Client of the endpoint under load: one request, and its result.

An answer is good only if it is a 200 that holds text where OpenAI's form has it; a stream, too, must end as it should.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any
from urllib.parse import unquote

import aiohttp
import orjson

from jobs.loading.results import RequestResult, Target


class BadAnswerError(Exception):
    """An answer that came and is not good; the text is its class."""


class EndpointClient:
    """Client of one endpoint with one pool of connections, as many as there are requests at once."""

    def __init__(self, target: Target, session: aiohttp.ClientSession) -> None:
        self._target = target
        self._session = session
        self._url = f"{target.base_url.rstrip('/')}/chat/completions"

    @classmethod
    @asynccontextmanager
    async def open(cls, target: Target) -> AsyncIterator["EndpointClient"]:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            headers={"Accept-Encoding": "identity"} | target.request_headers,
            timeout=aiohttp.ClientTimeout(total=target.timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=1 << 20,  # a line of a stream may be half as long as this, at least
        ) as session:
            yield cls(target, session)

    async def send(self, question: str, due: float, origin: float) -> RequestResult:
        """Send a question that was due at `due`. Both times are `monotonic`'s; the measurement begins at `origin`."""
        sent, first, status, error = monotonic(), None, None, None
        headers: Mapping[str, str] = {}
        try:
            async with self._session.post(self._url, data=self._body(question), allow_redirects=False) as response:
                status, headers = response.status, response.headers
                if self._target.stream and status == 200:
                    await _first_piece(response)
                    first = monotonic() - due
                    await _rest(response)
                else:
                    _check(status, await response.read())
        except BadAnswerError as fault:
            error = str(fault)
        except TimeoutError:
            error = "timeout"
        except aiohttp.ClientConnectorError:
            error = "no connection"
        except (aiohttp.ClientError, ConnectionError) as fault:
            error = f"connection lost ({type(fault).__name__})"
        expert, task, version = (_header(headers, f"x-coe-{name}") for name in ("expert", "task", "version"))
        return RequestResult(due - origin, monotonic() - due, status, error, first, sent - due, expert, task, version)

    def _body(self, question: str) -> bytes:
        body: dict[str, Any] = {"model": self._target.model, "messages": [{"role": "user", "content": question}]}
        return orjson.dumps(body | {"stream": True} if self._target.stream else body)


def _header(headers: Mapping[str, str], name: str) -> str | None:
    value = headers.get(name)
    return None if value is None else unquote(value)  # tasks may be Chinese, headers may not


def _check(status: int, body: bytes) -> None:
    """Raises `BadAnswerError` unless this is an answer with text."""
    content = _json(body)
    if status != 200:
        raise BadAnswerError(_code(content))
    if not _text(content, "message"):
        raise BadAnswerError("no text in the answer")


async def _first_piece(response: aiohttp.ClientResponse) -> None:
    """Read up to the first piece of text."""
    async for data in _data(response):
        if _text(_event(data), "delta"):
            return
    raise BadAnswerError("no text in the stream")


async def _rest(response: aiohttp.ClientResponse) -> None:
    """Read to the end, which must be the one that the form has."""
    last = b""
    async for data in _data(response):
        last = data
        if data != b"[DONE]":
            _event(data)
    if last != b"[DONE]":
        raise BadAnswerError("the stream broke off")


async def _data(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async for line in response.content:
        if line.startswith(b"data:"):
            yield line[5:].strip()


def _event(data: bytes) -> Any:
    content = _json(data)
    if isinstance(content, dict) and "error" in content:
        raise BadAnswerError(f"error in the stream ({_code(content)})")
    return content


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _text(content: Any, part: str) -> str | None:
    """`choices[0].message.content`, or that of a delta; None where there is none."""
    match content:
        case {"choices": [{"message": {"content": str(text)}}, *_]} if part == "message":
            return text
        case {"choices": [{"delta": {"content": str(text)}}, *_]} if part == "delta":
            return text
    return None


def _code(content: Any) -> str:
    """An error object's code, or its type where it has no code."""
    match content:
        case {"error": {"code": str(code)}}:
            return code
        case {"error": {"type": str(kind)}}:
            return kind
    return "no error object"
