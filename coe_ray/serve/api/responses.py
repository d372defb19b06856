"""HTTP around the pipeline: request bodies read; JSON, event streams and error objects written."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from coe_ray.core.errors import CallError, CallTimeout, CoeError, ContentFiltered, ContextTooLong, RateLimited
from coe_ray.core.types import Delta, Route
from coe_ray.serve.api.openai import ChatResponse, RequestError, error_object
from coe_ray.serve.telemetry.request_record import current_record

log = logging.getLogger("ray.serve")

MAX_BODY = 1 << 20
"""Bytes of a request body, at most."""

BODY_S = 20.0
"""Seconds within which it must arrive."""

_CLOSE = {"connection": "close"}  # the unread rest of a body must not be taken for the next request

_INTERNAL = error_object(500, "internal error; the server's log says more")


class JsonResponse(Response):
    """JSON response, written by orjson."""

    media_type = "application/json"

    def __init__(self, content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(orjson.dumps(content), status, dict(headers or {}))


async def read_body(request: Request) -> bytes:
    """The body, read no further than `MAX_BODY` and no longer than `BODY_S`. Raises `RequestError`."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise RequestError(
                        413, f"the body is over {MAX_BODY} bytes", code="request_too_large", headers=_CLOSE
                    )
    except TimeoutError:
        message = f"the body did not arrive within {BODY_S:g} s"
        raise RequestError(408, message, code="request_timeout", headers=_CLOSE) from None
    except ClientDisconnect:
        raise RequestError(400, "the body broke off", code="incomplete_body", headers=_CLOSE) from None
    return bytes(body)


@contextmanager
def name_expert_in_errors(expert: str) -> Iterator[None]:
    """Name the expert in the message of a call that fails within: several experts may share a model."""
    try:
        yield
    except CallError as error:
        error.message = f"{error.message} (expert {expert!r})"
        raise


async def stream_events(
    response: ChatResponse, first: Delta, deltas: AsyncIterator[Delta], coe: dict[str, Any], *, include_usage: bool
) -> AsyncIterator[bytes]:
    """Server-sent events. A stream that already sent text ends with an error event where its expert fails."""
    last = first
    yield _event(response.chunk(first.text))
    try:
        with name_expert_in_errors(coe["expert"]):
            async for last in deltas:
                if last.text:
                    yield _event(response.chunk(last.text))
    except CallError as error:
        current_record().set_error(error)
        yield _event(_describe_call_error(error)[1])
        return
    except Exception as error:  # the status is sent already: only the stream can carry the error
        current_record().set_error(error)
        log.exception("a stream broke off")
        yield _event(_INTERNAL)
        return
    current_record().usage = last.usage
    for chunk in response.last_chunks(last.finish_reason, last.usage, coe, include_usage=include_usage):
        yield _event(chunk)
    yield b"data: [DONE]\n\n"


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(content) + b"\n\n"


def route_headers(version: str, expert: str, route: Route | None) -> dict[str, str]:
    """Headers that name expert and version, and of a route its task and leaderboard."""
    # Header values are ASCII; a task's name may be Chinese.
    headers = {"x-coe-version": version, "x-coe-expert": quote(expert, safe=" ")}
    if route is None:
        return headers
    task = quote(route.classification.task, safe=" /&()-")
    return {**headers, "x-coe-task": task, "x-coe-leaderboard": route.leaderboard}


def event_stream_response(body: AsyncIterator[bytes], headers: Mapping[str, str]) -> StreamingResponse:
    """Server-sent events, marked so that no proxy caches or buffers them."""
    uncached = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingResponse(body, media_type="text/event-stream", headers={**headers, **uncached})


async def _on_request_error(_: Request, error: RequestError) -> JsonResponse:
    current_record().set_error(error)
    content = error_object(error.status, error.message, error.param, error.code)
    return JsonResponse(content, error.status, error.headers)


async def _on_call_error(_: Request, error: CallError) -> JsonResponse:
    current_record().set_error(error)
    status, content = _describe_call_error(error)
    # Rounded up: a client that comes back a moment early is refused again.
    wait = {"retry-after": str(math.ceil(error.retry_after or 1.0))} if status == 503 else {}
    return JsonResponse(content, status, wait)


def _describe_call_error(error: CallError) -> tuple[int, dict[str, Any]]:
    """The status and the error object of a call that failed."""
    if isinstance(error, ContextTooLong):
        return 400, error_object(400, str(error), code="context_length_exceeded")
    if isinstance(error, ContentFiltered):
        return 400, error_object(400, str(error), code="content_filter")
    if isinstance(error, RateLimited):
        return 503, error_object(503, str(error), code=type(error).__name__)
    status = 504 if isinstance(error, CallTimeout) and error.model == "coe" else 502
    return status, error_object(status, str(error), code=type(error).__name__)


async def _on_coe_error(_: Request, error: CoeError) -> JsonResponse:
    current_record().set_error(error)
    return JsonResponse(error_object(500, str(error), code=type(error).__name__), 500)


async def _on_http_error(request: Request, error: HTTPException) -> JsonResponse:
    current_record().set_error(error)
    message = f"there is no {request.method} {request.url.path} here"
    code = "method_not_allowed" if error.status_code == 405 else "not_found"
    return JsonResponse(error_object(error.status_code, message, code=code), error.status_code, error.headers)


async def _on_bug(_: Request, __: Exception) -> JsonResponse:
    """No detail is disclosed; the traceback is in the server's log."""
    return JsonResponse(_INTERNAL, 500)


# A handler only gets the class that it is registered for; Starlette's types say any exception.
ERROR_HANDLERS: Mapping[Any, Any] = {
    RequestError: _on_request_error,
    CallError: _on_call_error,
    CoeError: _on_coe_error,
    HTTPException: _on_http_error,
    Exception: _on_bug,
}
"""Handlers that answer every error with an OpenAI error object."""
