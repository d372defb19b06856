"""What goes over the wire around the pipeline: bodies in, JSON, events and error objects out.

Apart from `ingress.py` because Serve copies that module's application while it is still being imported.
"""

import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import orjson
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from coe_ray.errors import CallError, CallTimeout, CoeError, ContentFiltered, ContextTooLong
from coe_ray.serve.openai import Reply, RequestError, error_object
from coe_ray.types import Delta, Route

log = logging.getLogger("ray.serve")

MAX_BODY = 1 << 20
"""Bytes of a request body, at most."""

_INTERNAL = error_object(500, "internal error; the server's log says more")


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


@contextmanager
def blamed_on(expert: str) -> Iterator[None]:
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
        with blamed_on(coe["expert"]):
            async for last in deltas:
                if last.text:
                    yield _event(reply.chunk(last.text))
    except CallError as error:
        yield _event(_object_of(error)[1])
        return
    except Exception:  # the status is out already: only the stream can tell
        log.exception("a stream broke off")
        yield _event(_INTERNAL)
        return
    for chunk in reply.last_chunks(last.finish_reason, last.usage, coe, include_usage=include_usage):
        yield _event(chunk)
    yield b"data: [DONE]\n\n"


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(content) + b"\n\n"


def route_headers(route: Route) -> dict[str, str]:
    # Header values are ASCII; a task's name may be Chinese.
    task = quote(route.classification.task, safe=" /&()-")
    return {"x-coe-task": task, **expert_header(route.expert), "x-coe-leaderboard": route.leaderboard}


def expert_header(expert: str) -> dict[str, str]:
    return {"x-coe-expert": quote(expert, safe=" ")}


def errors_as_objects(api: FastAPI) -> None:
    """Every error leaves as an OpenAI error object."""
    # A handler only ever gets the class that it stands for; Starlette's types say any exception.
    api.add_exception_handler(RequestError, _refused)  # type: ignore[arg-type]
    api.add_exception_handler(CallError, _call_failed)  # type: ignore[arg-type]
    api.add_exception_handler(CoeError, _unusable)  # type: ignore[arg-type]
    api.add_exception_handler(HTTPException, _no_such_place)  # type: ignore[arg-type]
    api.add_exception_handler(Exception, _unforeseen)


async def _refused(_: Request, error: RequestError) -> Json:
    return Json(error_object(error.status, error.message, error.param, error.code), error.status)


async def _call_failed(_: Request, error: CallError) -> Json:
    status, content = _object_of(error)
    return Json(content, status)


def _object_of(error: CallError) -> tuple[int, dict[str, Any]]:
    """The status and the error object of a call that failed."""
    if isinstance(error, ContextTooLong):
        return 400, error_object(400, str(error), code="context_length_exceeded")
    if isinstance(error, ContentFiltered):
        return 400, error_object(400, str(error), code="content_filter")
    status = 504 if isinstance(error, CallTimeout) and error.model == "coe" else 502
    return status, error_object(status, str(error), code=type(error).__name__)


async def _unusable(_: Request, error: CoeError) -> Json:
    return Json(error_object(500, str(error), code=type(error).__name__), 500)


async def _no_such_place(request: Request, error: HTTPException) -> Json:
    message = f"there is no {request.method} {request.url.path} here"
    code = "method_not_allowed" if error.status_code == 405 else "not_found"
    return Json(error_object(error.status_code, message, code=code), error.status_code, error.headers)


async def _unforeseen(_: Request, __: Exception) -> Json:
    """Nothing of the inside goes out; the traceback is in the server's log."""
    return Json(_INTERNAL, 500)
