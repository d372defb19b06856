"""Header filter in front of Ray Serve (`RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH`), and Ray's other variables.

Serve obeys some request headers: a client could switch off its own timeout, or the end of its request when it leaves.
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
"""To be set before Ray starts; without them the endpoint carries about a seventh of the requests."""

RAY_ENVIRONMENT = {
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": CALLBACK,
    # Seconds that HAProxy waits for a silent client: one that does not send on its body, or does not read its answer.
    # A client that waits for an answer is not meant. Ray's default is an hour.
    "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "30",
    # Seconds that a replica may neither answer nor read: above the longest deadline. Without it HAProxy now and then
    # keeps a connection for ever after its body was refused half way.
    "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": "600",
    # Ray's own balancing, and two lines more in the same section: Ray has no variable for the time that a client may
    # take for its headers. HAProxy waits for the body as well (up to its buffer), so that it can send the request to
    # another replica where one dies with it.
    "RAY_SERVE_HAPROXY_BALANCE_ALGORITHM": "leastconn\n    timeout http-request 10s\n    option http-buffer-request",
    # Also where a replica died before it answered anything, not only where it could not be reached.
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
}
"""To be set before Ray starts, on each node, for an endpoint that strangers can reach."""

_STEERING = frozenset(
    (b"x_request_timeout_seconds", b"x_request_disconnect_disabled", b"serve_multiplexed_model_id", b"x_session_id")
)
"""Headers that steer Serve, in ASGI's lower case; Serve takes - and _ for the same in some of them."""

_UNDERSCORES = bytes.maketrans(b"-", b"_")
_REQUEST_ID = re.compile(rb"[\w.:/+=-]{1,128}\Z")


class HeaderFilter:
    """ASGI middleware that removes the headers that steer Serve, and those that Serve cannot read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "headers" in scope:
            scope["headers"] = [header for header in scope["headers"] if _is_harmless(*header)]
        await self._app(scope, receive, send)


def _is_harmless(name: bytes, value: bytes) -> bool:
    if name == b"x-request-id":  # it goes into logs and back to the client; Serve replaces one that is removed
        return _REQUEST_ID.match(value) is not None
    return value.isascii() and name.translate(_UNDERSCORES) not in _STEERING


def middlewares() -> list[Middleware]:
    """Called by Serve, by the name in `CALLBACK`."""
    return [Middleware(HeaderFilter)]


def environment_warnings() -> list[str]:
    """Log and return the variables that are missing in this replica's environment, and so in Ray's."""
    slow = [name for name, value in WANTED_ENVIRONMENT.items() if os.environ.get(name) != value]
    open_to_abuse = [name for name in RAY_ENVIRONMENT if name not in os.environ]
    warnings = [f"{name}=1 is not set; set it before `ray start` for a faster endpoint" for name in slow]
    warnings += [f"{name} is not set; set it before `ray start`, see docs/security.md" for name in open_to_abuse]
    for warning in warnings:
        log.warning(warning)
    return warnings
