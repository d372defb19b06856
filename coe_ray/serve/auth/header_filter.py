"""What is taken out of a request before Ray Serve looks at it: `RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH`.

Serve obeys some request headers: a client could switch off its own timeout, or what ends its request when it leaves.
And Serve answers 500 where a header that it reads is not UTF-8.
"""

import logging
import os
import re

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

log = logging.getLogger("ray.serve")

CALLBACK = "coe_ray.serve.front:middlewares"
"""The variable's value. Serve reads it when Ray starts, in its proxies and in the ingress replicas."""

WANTED_ENVIRONMENT = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
"""Must stand before Ray starts; without them the endpoint carries about a seventh of the requests."""

RAY_ENVIRONMENT = {
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": CALLBACK,
    # Seconds of silence that HAProxy allows a client that it waits for: one that does not send its body on, or does
    # not read its answer. Who waits for an answer is not meant. Ray's default is an hour.
    "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "30",
    # Seconds that a replica may neither answer nor read: above the longest deadline. Without it HAProxy now and then
    # keeps a connection for ever whose body was refused half way.
    "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": "600",
    # The balancing as it is, and two lines more in the same section: Ray has no variable for the time that a client may
    # take for its headers, which without it may come a byte a minute for ever. HAProxy waits for the body as well
    # (up to its buffer), so that it can send the request to another replica where one dies with it.
    "RAY_SERVE_HAPROXY_BALANCE_ALGORITHM": "leastconn\n    timeout http-request 10s\n    option http-buffer-request",
    # Not only where a replica could not be reached, also where it died before it answered anything.
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
}
"""What must stand before Ray starts, on each node, for an endpoint that strangers can reach."""

_OBEYED = frozenset(
    (
        b"x_request_timeout_seconds",
        b"x_request_disconnect_disabled",
        b"serve_multiplexed_model_id",
        b"x_session_id",
    )
)
"""Headers that steer Serve, in ASGI's lower case; Serve takes - and _ for the same in some of them."""

_UNDERSCORES = bytes.maketrans(b"-", b"_")
_REQUEST_ID = re.compile(rb"[\w.:/+=-]{1,128}\Z")


class HeaderFilter:
    """ASGI middleware. Everything passes but the headers that do harm."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "headers" in scope:
            scope["headers"] = [header for header in scope["headers"] if _harmless(*header)]
        await self._app(scope, receive, send)


def _harmless(name: bytes, value: bytes) -> bool:
    if name == b"x-request-id":  # it goes into logs and back to the client; what is none is replaced by one of Serve's
        return _REQUEST_ID.match(value) is not None
    return value.isascii() and name.translate(_UNDERSCORES) not in _OBEYED


def middlewares() -> list[Middleware]:
    """What Serve asks for."""
    return [Middleware(HeaderFilter)]


def environment_warnings() -> list[str]:
    """Log and return what was missing in this replica's environment, and so in Ray's, when Ray started."""
    slow = [name for name, value in WANTED_ENVIRONMENT.items() if os.environ.get(name) != value]
    open_to_abuse = [name for name in RAY_ENVIRONMENT if name not in os.environ]
    warnings = [f"{name}=1 is not set; set it before `ray start` for a faster endpoint" for name in slow]
    warnings += [f"{name} is not set; set it before `ray start`, see docs/security.md" for name in open_to_abuse]
    for warning in warnings:
        log.warning(warning)
    return warnings
