"""The console's own files. They hold no secret, so they need no key; what they show is asked for with one."""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
}

FILES = (
    "app.js",
    "ask.js",
    "charts.js",
    "console.css",
    "dom.js",
    "early.js",
    "endpoint.js",
    "examples.json",
    "flow.js",
    "key.js",
    "leaderboard.js",
    "row.js",
    "run.js",
    "runs.js",
    "words.js",
)

PATHS = frozenset({"/", *(f"/console/{name}" for name in FILES)})
"""What is served without a key: exactly these."""

_CONTENT_SECURITY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

_HEADERS = {
    "content-security-policy": _CONTENT_SECURITY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",  # kept, but asked for each time: a new release is seen at once
}


@dataclass(frozen=True, slots=True)
class Page:
    """One file as it goes out."""

    body: bytes
    media_type: str

    @property
    def headers(self) -> dict[str, str]:
        return {**_HEADERS, "etag": f'"{hashlib.sha256(self.body).hexdigest()[:16]}"'}


def page_routes() -> list[Route]:
    """The page, and everything that it loads."""
    return [Route(path, page) for path in sorted(PATHS)]


async def page(request: Request) -> Response:
    """One of the files; 304 where the browser has it."""
    path = request.scope["route"].path
    found = _read("index.html" if path == "/" else path.removeprefix("/console/"))
    if request.headers.get("if-none-match") == found.headers["etag"]:
        return Response(status_code=304, headers=found.headers)
    return Response(found.body, headers=found.headers, media_type=found.media_type)


@cache
def _read(name: str) -> Page:
    """Once in a replica's life: all files are of one release."""
    body = resources.files(__package__).joinpath("static", name).read_bytes()
    return Page(body, _TYPES[name.rpartition(".")[2]])
