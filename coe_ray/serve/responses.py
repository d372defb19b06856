"""What goes over the wire around the pipeline: bodies in, JSON, events and error objects out.

Apart from `ingress.py` because Serve copies that module's application while it is still being imported.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

import orjson
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from coe_ray.errors import CallError, CallTimeout, CoeError, ContentFiltered, ContextTooLong
from coe_ray.serve.openai import Reply, RequestError, error_object
from coe_ray.types import Delta, Route, Usage

MAX_BODY = 1 << 20
"""Bytes of a request body, at most."""


class Json(Response):
    """A response written by orjson."""

    media_type = "application/json"

    def __init__(self, content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(orjson.dumps(content), status, dict(headers or {}))


async def read_body(request: Request) -> bytes:
    """The body, read no further than `MAX_BODY`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise RequestError(413, f"the body is over {MAX_BODY} bytes", code="request_too_large")
    return bytes(body)


async def events(reply: Reply, first: Delta, deltas: AsyncIterator[Delta], coe: dict[str, Any]) -> AsyncIterator[bytes]:
    """Server-sent events. A stream that already sent text ends with an error event where its expert fails."""
    usage: Usage | None = first.usage
    yield _event(_chunk(reply, first))
    try:
        async for delta in deltas:
            usage = delta.usage or usage
            yield _event(_chunk(reply, delta))
    except CallError as error:
        yield _event(error_object(502, str(error), code=type(error).__name__))
        return
    yield _event(reply.last_chunk(usage, coe))
    yield b"data: [DONE]\n\n"


def _chunk(reply: Reply, delta: Delta) -> dict[str, Any]:
    return reply.chunk(delta.text, delta.finish_reason)


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(content) + b"\n\n"


def route_headers(route: Route) -> dict[str, str]:
    # Header values are ASCII; a task's name may be Chinese.
    task = quote(route.classification.task, safe=" /&()-")
    return {
        "x-coe-task": task,
        "x-coe-expert": quote(route.expert, safe=" "),
        "x-coe-leaderboard": route.leaderboard,
    }


def errors_as_objects(api: FastAPI) -> None:
    """Every error leaves as an OpenAI error object."""
    api.add_exception_handler(RequestError, _refused)
    api.add_exception_handler(CallError, _call_failed)
    api.add_exception_handler(CoeError, _unusable)
    api.add_exception_handler(HTTPException, _no_such_place)
    api.add_exception_handler(Exception, _unforeseen)


async def _refused(_: Request, error: RequestError) -> Json:
    return Json(error_object(error.status, error.message, error.param, error.code), error.status)


async def _call_failed(_: Request, error: CallError) -> Json:
    if isinstance(error, ContextTooLong):
        return Json(error_object(400, str(error), code="context_length_exceeded"), 400)
    if isinstance(error, ContentFiltered):
        return Json(error_object(400, str(error), code="content_filter"), 400)
    status = 504 if isinstance(error, CallTimeout) and error.model == "coe" else 502
    return Json(error_object(status, str(error), code=type(error).__name__), status)


async def _unusable(_: Request, error: CoeError) -> Json:
    return Json(error_object(500, str(error), code=type(error).__name__), 500)


async def _no_such_place(request: Request, error: HTTPException) -> Json:
    message = f"there is no {request.method} {request.url.path} here"
    return Json(error_object(error.status_code, message, code="not_found"), error.status_code)


async def _unforeseen(_: Request, __: Exception) -> Json:
    """Nothing of the inside goes out; the traceback is in the server's log."""
    return Json(error_object(500, "internal error; the server's log says more"), 500)
