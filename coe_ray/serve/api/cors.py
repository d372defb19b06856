"""CORS as ASGI middleware: browsers of the origins that the profile lists may call the API from their own pages."""

from collections.abc import Callable

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

EXPOSED = (
    *("x-coe-version", "x-coe-expert", "x-coe-task", "x-coe-leaderboard", "x-coe-request-id", "x-request-id"),
    *("retry-after", "x-should-retry"),
    *("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
)
"""Response headers that a page's scripts may read."""


class CorsMiddleware:
    """Starlette's `CORSMiddleware` for the origins of the profile that is served now; without any it does nothing.

    It answers a preflight by itself: browsers send no key with one.
    """

    def __init__(self, app: ASGIApp, origins: Callable[[], tuple[str, ...]]) -> None:
        self._app = app
        self._origins = origins
        self._made_for: tuple[str, ...] = ()
        self._middleware = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (origins := self._origins()) != self._made_for:  # a hot change
            self._middleware = self._for(origins) if origins else self._app
            self._made_for = origins
        await self._middleware(scope, receive, send)

    def _for(self, origins: tuple[str, ...]) -> ASGIApp:
        return CORSMiddleware(
            self._app,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],  # OpenAI's client for browsers sends a dozen of its own
            expose_headers=EXPOSED,
        )
