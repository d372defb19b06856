"""What goes over the wire around the pipeline: bodies in, JSON, events and error objects out."""

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
from coe_ray.serve.api.openai import Reply, RequestError, error_object
from coe_ray.serve.telemetry.request_record import current_record

log = logging.getLogger("ray.serve")

MAX_BODY = 1 << 20
"""Bytes of a request body, at most."""

BODY_S = 20.0
"""Seconds until it must be there."""

_CLOSE = {"connection": "close"}  # what is left of a body must not be read, nor be taken for the next request

_INTERNAL = error_object(500, "internal error; the server's log says more")


class JsonResponse(Response):
    """A response written by orjson."""

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
def make_error_response(expert: str) -> Iterator[None]:
    """A call that fails within says whose it was: several experts may share a model."""
    try:
        yield
    except CallError as error:
        error.message = f"{error.message} (expert {expert!r})"
        raise


async def events(
    reply: Reply, first: Delta, deltas: AsyncIterator[Delta], coe: dict[str, Any], *, include_usage: bool
) -> AsyncIterator[bytes]:
    """Server-sent events. A stream that already sent text ends with an error event where its expert fails."""
    last = first
    yield _event(reply.chunk(first.text))
    try:
        with make_error_response(coe["expert"]):
            async for last in deltas:
                if last.text:
                    yield _event(reply.chunk(last.text))
    except CallError as error:
        current_record().set_error(error)
        yield _event(_object_of(error)[1])
        return
    except Exception as error:  # the status is out already: only the stream can tell
        current_record().set_error(error)
        log.exception("a stream broke off")
        yield _event(_INTERNAL)
        return
    current_record().usage = last.usage
    for chunk in reply.last_chunks(last.finish_reason, last.usage, coe, include_usage=include_usage):
        yield _event(chunk)
    yield b"data: [DONE]\n\n"


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(content) + b"\n\n"


def headers_of(version: str, expert: str, route: Route | None) -> dict[str, str]:
    """Who answers, by which version; of a route its task and leaderboard, too."""
    # Header values are ASCII; a task's name may be Chinese.
    said = {"x-coe-version": version, "x-coe-expert": quote(expert, safe=" ")}
    if route is None:
        return said
    task = quote(route.classification.task, safe=" /&()-")
    return {**said, "x-coe-task": task, "x-coe-leaderboard": route.leaderboard}


def event_stream(body: AsyncIterator[bytes], headers: Mapping[str, str]) -> StreamingResponse:
    """Server-sent events, which nobody on the way is to keep or to collect."""
    uncached = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingResponse(body, media_type="text/event-stream", headers={**headers, **uncached})


async def _refused(_: Request, error: RequestError) -> JsonResponse:
    current_record().set_error(error)
    content = error_object(error.status, error.message, error.param, error.code)
    return JsonResponse(content, error.status, error.headers)


async def _call_failed(_: Request, error: CallError) -> JsonResponse:
    current_record().set_error(error)
    status, content = _object_of(error)
    # Rounded up: who comes back a moment early is refused again.
    wait = {"retry-after": str(math.ceil(error.retry_after or 1.0))} if status == 503 else {}
    return JsonResponse(content, status, wait)


def _object_of(error: CallError) -> tuple[int, dict[str, Any]]:
    """The status and the error object of a call that failed."""
    if isinstance(error, ContextTooLong):
        return 400, error_object(400, str(error), code="context_length_exceeded")
    if isinstance(error, ContentFiltered):
        return 400, error_object(400, str(error), code="content_filter")
    if isinstance(error, RateLimited):
        return 503, error_object(503, str(error), code=type(error).__name__)
    status = 504 if isinstance(error, CallTimeout) and error.model == "coe" else 502
    return status, error_object(status, str(error), code=type(error).__name__)


async def _unusable(_: Request, error: CoeError) -> JsonResponse:
    current_record().set_error(error)
    return JsonResponse(error_object(500, str(error), code=type(error).__name__), 500)


async def _no_such_place(request: Request, error: HTTPException) -> JsonResponse:
    current_record().set_error(error)
    message = f"there is no {request.method} {request.url.path} here"
    code = "method_not_allowed" if error.status_code == 405 else "not_found"
    return JsonResponse(error_object(error.status_code, message, code=code), error.status_code, error.headers)


async def _unforeseen(_: Request, __: Exception) -> JsonResponse:
    """Nothing of the inside goes out; the traceback is in the server's log."""
    return JsonResponse(_INTERNAL, 500)


# A handler only ever gets the class that it stands for; Starlette's types say any exception.
ERROR_HANDLERS: Mapping[Any, Any] = {
    RequestError: _refused,
    CallError: _call_failed,
    CoeError: _unusable,
    HTTPException: _no_such_place,
    Exception: _unforeseen,
}
"""Every error leaves as an OpenAI error object."""
