"""Files of the console's page. They hold no secret, so they need no key; the data that they show needs one."""

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
    "txt": "text/plain; charset=utf-8",
}

_STATIC = resources.files(__package__).joinpath("static")
_VENDOR = _STATIC.joinpath("vendor")

FILES = (
    *sorted(file.name for file in _STATIC.iterdir() if file.is_file() and file.name != "index.html"),
    *sorted(f"vendor/{file.name}" for file in _VENDOR.iterdir()),
)
"""All but `index.html`. What is in `vendor` comes from others, unchanged, with its licence."""

PATHS = frozenset({"/", *(f"/console/{name}" for name in FILES)})
"""All paths that need no key."""

_CONTENT_SECURITY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_HEADERS = {
    "content-security-policy": _CONTENT_SECURITY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",  # cached, but checked each time: a new release is seen at once
}


@dataclass(frozen=True, slots=True)
class Page:
    """One file as it is sent."""

    body: bytes
    media_type: str

    @property
    def headers(self) -> dict[str, str]:
        return {**_HEADERS, "etag": f'"{hashlib.sha256(self.body).hexdigest()[:16]}"'}


def page_routes() -> list[Route]:
    """The page and everything that it loads."""
    return [Route(path, page) for path in sorted(PATHS)]


async def page(request: Request) -> Response:
    """One of the files; 304 where the browser has it."""
    path = request.scope["route"].path
    page = _read("index.html" if path == "/" else path.removeprefix("/console/"))
    if request.headers.get("if-none-match") == page.headers["etag"]:
        return Response(status_code=304, headers=page.headers)
    return Response(page.body, headers=page.headers, media_type=page.media_type)


@cache
def _read(name: str) -> Page:
    """Read once in a replica's life: all files are of one release."""
    return Page(_STATIC.joinpath(name).read_bytes(), _TYPES[name.rpartition(".")[2]])
