"""HTTP around the pipeline: request bodies read; JSON, event streams and error objects written."""

import asyncio
import logging
import math
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from coe_ray.core.errors import BadCall, CallError, CallTimeout, CoeError, ContentFiltered, ContextTooLong, RateLimited
from coe_ray.core.types import Delta, Route
from coe_ray.serve.api.openai import ChatResponse, RequestError, is_finished
from coe_ray.serve.telemetry.request_record import current_record

log = logging.getLogger("ray.serve")

MAX_BODY = 1 << 20
"""Bytes of a request body, at most."""

MAX_RETRY_AFTER_S = 86_400.0
"""Seconds of the longest `Retry-After` that is passed on: a provider may send any number."""

BODY_S = 20.0
"""Seconds within which it must arrive."""

_ENCODINGS = ("identity", "gzip", "x-gzip")

_CLOSE = {"connection": "close"}  # the unread rest of a body must not be taken for the next request

IN_VAIN = {"x-should-retry": "false"}
"""Tells OpenAI's clients not to try again by themselves."""

_INTERNAL = RequestError(500, "internal error; the server's log says more")


class JsonResponse(Response):
    """JSON response, written by orjson."""

    media_type = "application/json"

    def __init__(self, content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(orjson.dumps(content), status, dict(headers or {}))


async def read_body(request: Request) -> bytes:
    """The body, decompressed, read no further than `MAX_BODY` and no longer than `BODY_S`. Raises `RequestError`."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in _ENCODINGS:
        message = f"Content-Encoding {encoding[:40]!r} is not read here; send gzip, or the body as it is"
        headers = {**_CLOSE, "accept-encoding": "gzip"}
        raise RequestError(415, message, code="unsupported_content_encoding", headers=headers)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                body += chunk
                _require_size(body)
    except TimeoutError:
        message = f"the body did not arrive within {BODY_S:g} s"
        raise RequestError(408, message, code="request_timeout", headers=_CLOSE) from None
    except ClientDisconnect:
        raise RequestError(400, "the body broke off", code="incomplete_body", headers=_CLOSE) from None
    return bytes(body) if encoding == "identity" else _gunzip(body)


def _require_size(body: bytes | bytearray) -> None:
    if len(body) > MAX_BODY:
        message = f"the body is over {MAX_BODY} bytes"
        raise RequestError(413, message, code="request_too_large", headers=_CLOSE)


def _gunzip(body: bytearray) -> bytes:
    """The decompressed body; no more of it than one byte over `MAX_BODY` is ever made."""
    reader = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        content = reader.decompress(body, MAX_BODY + 1)
    except zlib.error as error:
        raise RequestError(400, f"the body is not gzip: {error}", code="invalid_content_encoding") from None
    _require_size(content)
    if not reader.eof or reader.unused_data:
        raise RequestError(400, "the gzip body has no end, or goes on behind it", code="invalid_content_encoding")
    return content


@contextmanager
def name_expert_in_errors(expert: str) -> Iterator[None]:
    """Name the expert in the message of a call that fails within: several experts may share a model."""
    try:
        yield
    except CallError as error:
        error.message = f"{error.message} (expert {expert!r})"
        raise


class ChatForm:
    """The form in which answers are made, OpenAI's chat: nothing is translated. Other forms override its parts."""

    def whole(self, completion: dict[str, Any]) -> dict[str, Any]:
        """The body of a chat completion."""
        return completion

    def piece(self, chunk: dict[str, Any]) -> bytes:
        """The events of a chat chunk."""
        return write_event(chunk)

    def end(self) -> bytes:
        """The events behind the last chunk."""
        return b"data: [DONE]\n\n"

    def failure(self, error: RequestError) -> bytes:
        """The events of an error after the status was sent."""
        return write_event(error.content())


async def stream_events(
    response: ChatResponse,
    first: Delta,
    deltas: AsyncIterator[Delta],
    coe: dict[str, Any],
    *,
    include_usage: bool,
    form: ChatForm = ChatForm(),
) -> AsyncIterator[bytes]:
    """Server-sent events. A stream that already sent text ends with an error event where its expert fails."""
    held: dict[str, Any] | None = None
    last = first
    try:
        with name_expert_in_errors(coe["expert"]):
            async for last in _joined(first, deltas):
                if last.finish_reason and not last.text:
                    continue  # usage and route go into the last chunk, below
                if held:
                    yield form.piece(held)
                chunk = response.chunk(last)
                held = chunk if is_finished(chunk) else None
                if held is None:
                    yield form.piece(chunk)
    except CallError as error:
        current_record().set_error(error)
        yield form.failure(_describe_error(error))
        return
    except Exception as error:  # the status is sent already: only the stream can carry the error
        current_record().set_error(error)
        log.exception("a stream broke off")
        yield form.failure(_INTERNAL)
        return
    current_record().set_end(last.finish_reason, last.usage)
    for chunk in response.last_chunks(held, last, coe, include_usage=include_usage):
        yield form.piece(chunk)
    yield form.end()


async def _joined(first: Delta, deltas: AsyncIterator[Delta]) -> AsyncIterator[Delta]:
    yield first
    async for delta in deltas:
        yield delta


def write_event(content: dict[str, Any]) -> bytes:
    # U+2028 and U+2029 are line ends for some clients, which split the event there.
    data = orjson.dumps(content)
    if b"\xe2\x80" in data:
        data = data.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return b"data: " + data + b"\n\n"


def route_headers(version: str, expert: str, route: Route | None) -> dict[str, str]:
    """Headers that name expert and version, and of a route its task and leaderboard."""
    # Header values are ASCII; a task's name may be Chinese.
    headers = {"x-coe-version": version, "x-coe-expert": quote(expert, safe=" ")}
    if route is None:
        return headers
    task = quote(route.classification.task, safe=" /&()-")
    return {**headers, "x-coe-task": task, "x-coe-leaderboard": route.leaderboard}


def error_response(error: RequestError) -> JsonResponse:
    return JsonResponse(error.content(), error.status, error.headers)


def _describe_error(error: RequestError | CoeError) -> RequestError:
    """What a client is told: status, message, code, and whether asking again can help."""
    if isinstance(error, RequestError):
        return error
    status, code, headers = 500, type(error).__name__, {}
    match error:
        case ContextTooLong():
            status, code, headers = 400, "context_length_exceeded", IN_VAIN
        case ContentFiltered():
            status, code, headers = 400, "content_filter", IN_VAIN
        case BadCall(status=400 | 413 | 422 as status):  # the request's own fault, by the provider or by us
            code, headers = "invalid_value", IN_VAIN
        case RateLimited():
            # Rounded up: a client that comes back a moment early is refused again.
            headers = {"retry-after": str(math.ceil(min(error.retry_after or 1.0, MAX_RETRY_AFTER_S)))}
            status = 429 if error.status == 429 else 503
        case CallTimeout(model="coe"):
            status = 504
        case CallError():
            status = 502
            # Each of a client's own tries would cost as many of ours again.
            if not error.retryable or error.attempts > 1 or len(error.tried) > 1:
                headers = IN_VAIN
    return RequestError(status, str(error), code=code, headers=headers)


async def _on_error(_: Request, error: RequestError | CoeError) -> JsonResponse:
    current_record().set_error(error)
    return error_response(_describe_error(error))


async def _on_http_error(request: Request, error: HTTPException) -> JsonResponse:
    current_record().set_error(error)
    message = f"there is no {request.method} {request.url.path} here"
    code = "method_not_allowed" if error.status_code == 405 else "not_found"
    return error_response(RequestError(error.status_code, message, code=code, headers=error.headers or {}))


async def _on_bug(_: Request, __: Exception) -> JsonResponse:
    """No detail is disclosed; the traceback is in the server's log."""
    return error_response(_INTERNAL)


# A handler only gets the class that it is registered for; Starlette's types say any exception.
ERROR_HANDLERS: Mapping[Any, Any] = {
    RequestError: _on_error,
    CoeError: _on_error,
    HTTPException: _on_http_error,
    Exception: _on_bug,
}
"""Handlers that answer every error with an OpenAI error object."""
