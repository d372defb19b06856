"""Authentication as ASGI middleware: a request counts as under way until the last byte of its answer."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coe_ray.serve.api.http import JsonResponse, error_response
from coe_ray.serve.auth.authenticator import Authenticator
from coe_ray.serve.auth.client import AccessDenied
from coe_ray.serve.console.pages import PATHS
from coe_ray.serve.telemetry.request_record import current_record

OPEN_PATHS = frozenset({"/healthz"}) | PATHS
"""Paths that need no key: health probes have none, nor has a browser before its page is there. They disclose nothing of
questions, clients or secrets."""

MOST_UNDER_WAY = 512
"""Requests under way in one replica, of all clients. Serve's own limits are above it: it refuses by bare text, and
health probes as well."""


class AuthMiddleware:
    """ASGI middleware that lets a request in or denies it, and puts the client's name into its record."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _path(scope) in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        await self._authenticator.refresh()
        try:
            self._require_room()
            admission = self._authenticator.admit(Headers(scope=scope))
        except AccessDenied as denied:
            await _deny(denied)(scope, receive, send)
            return

        async def send_with_limits(message: Message) -> None:
            if message["type"] == "http.response.start":
                # Not by MutableHeaders, which looks through all headers for each one.
                limits = [(name.encode(), value.encode()) for name, value in admission.headers.items()]
                message["headers"] = [*message["headers"], *limits]
            await send(message)

        self._under_way += 1
        try:
            with admission:
                current_record().key = admission.name
                await self._app(scope, receive, send_with_limits)
        finally:
            self._under_way -= 1

    def _require_room(self) -> None:
        if self._under_way >= MOST_UNDER_WAY:
            message = "this endpoint has as many requests under way as it takes; try again in 1 s"
            raise AccessDenied(503, message, code="overloaded", headers={"Retry-After": "1"})


def _deny(denied: AccessDenied) -> JsonResponse:
    record = current_record()
    record.key = denied.client
    record.set_error(denied)
    response = error_response(denied)
    response.headers["Connection"] = "close"  # the unread rest of a body must not be taken for the next request
    return response


def _path(scope: Scope) -> str:
    """The path below the application's own prefix, as its router sees it."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
