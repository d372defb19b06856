"""Telemetry as ASGI middleware: id, record and span of each request.

Only a middleware sees the status that an error handler answers with, and the end of a stream.
"""

import asyncio
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TypeAlias

from opentelemetry.trace import Span, StatusCode
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coe_ray.core.stages import collect_stages
from coe_ray.serve.telemetry.request_record import RequestRecord, accept_request_id, set_current_record
from coe_ray.serve.telemetry.tracing import request_span

Observer: TypeAlias = Callable[[RequestRecord], None]
"""Taker of the records of finished requests: log or metrics. Called on the event loop, so it must not block."""

UNRECORDED = ("/healthz",)
"""Paths that load balancers probe all day long."""

REQUEST_ID = "x-request-id"
"""Serve gives every request one, and returns the caller's."""

NEW_REQUEST_ID = "x-coe-request-id"
"""The id in the logs, where the caller's was not safe to log."""


class TelemetryMiddleware:
    """ASGI middleware that gives each request its record and its span; `observers` get the record at its end."""

    def __init__(self, app: ASGIApp, observers: Sequence[Observer]) -> None:
        self._app = app
        self._observers = observers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        record = RequestRecord(accept_request_id(headers.get(REQUEST_ID)), scope["method"])
        if scope["path"].removeprefix(scope.get("root_path", "")) in UNRECORDED:
            with set_current_record(record):
                await self._app(scope, receive, send)
        else:
            await self._run(record, headers, scope, receive, send)

    async def _run(self, record: RequestRecord, headers: Headers, scope: Scope, receive: Receive, send: Send) -> None:
        with (
            set_current_record(record),
            request_span(record.method, headers) as span,
            collect_stages(record.request_id) as record.stages,
        ):
            start = perf_counter()
            try:
                await self._app(scope, receive, _observe_status(send, record, headers))
            except asyncio.CancelledError:  # the client left, or Serve's own time limit passed
                record.status, record.error = record.status or 499, "Cancelled"
                raise
            except Exception as error:  # Starlette answers it further out
                record.status = record.status or 500
                record.set_error(error)
                raise
            finally:
                record.seconds = perf_counter() - start
                record.path = getattr(scope.get("route"), "path", record.path)
                self._finish(record, span)

    def _finish(self, record: RequestRecord, span: Span) -> None:
        for observe in self._observers:
            observe(record)
        if span.is_recording():
            span.update_name(f"{record.method} {record.path}")
            span.set_attributes(_attributes(record))
            if record.status >= 500:
                span.set_status(StatusCode.ERROR)


def _observe_status(send: Send, record: RequestRecord, headers: Headers) -> Send:
    """`send` that records the status, and adds the request's id where it is not the caller's."""

    async def send_observed(message: Message) -> None:
        if message["type"] == "http.response.start":
            record.status = message["status"]
            if headers.get(REQUEST_ID, record.request_id) != record.request_id:
                MutableHeaders(scope=message)[NEW_REQUEST_ID] = record.request_id
        await send(message)

    return send_observed


def _attributes(record: RequestRecord) -> dict[str, str | int]:
    known: dict[str, str | int | None] = {
        "http.route": record.path,
        "http.response.status_code": record.status,
        "coe.request_id": record.request_id,
        "coe.model": record.model,
        "coe.task": record.route.classification.task if record.route else None,
        "coe.expert": record.expert,
        "coe.version": record.version,
        "error.type": record.error,
    }
    return {name: value for name, value in known.items() if value is not None}
