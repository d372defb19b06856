"""The gate as ASGI middleware: a request holds its place until the last byte of its answer, a stream's too."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coe_ray.serve.api.openai import error_object
from coe_ray.serve.api.responses import JsonResponse
from coe_ray.serve.auth.authenticator import AccessDenied, Authenticator
from coe_ray.serve.console.pages import PATHS
from coe_ray.serve.telemetry.request_record import current_record

OPEN = frozenset({"/healthz"}) | PATHS
"""Paths that ask for no key: probes of health have none, nor has a browser before its page is there. They say nothing
of questions, clients or secrets."""


class AuthMiddleware:
    """The request's record gets the name of the client that was let in, or that has too much under way."""

    def __init__(self, app: ASGIApp, access: Authenticator) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _path(scope) in OPEN:
            await self._app(scope, receive, send)
            return
        await self._access.settled()
        try:
            admission = self._access.admit(Headers(scope=scope))
        except AccessDenied as refused:
            record = current_record()
            record.key = refused.client
            record.set_error(refused)
            content = error_object(refused.status, refused.message, refused.param, refused.code)
            # The rest of a body that nobody reads must not be taken for the next request.
            await JsonResponse(content, refused.status, {**refused.headers, "Connection": "close"})(
                scope, receive, send
            )
            return

        async def with_limits(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(admission.headers)
            await send(message)

        with admission:
            current_record().key = admission.client
            await self._app(scope, receive, with_limits)


def _path(scope: Scope) -> str:
    """Below the application's own prefix, as its router sees it."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
