"""Authentication as middleware, around an application that streams."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from coe_ray.core.api_keys import add_key
from coe_ray.profile.profile import AccessConfig
from coe_ray.serve.auth.authenticator import Authenticator
from coe_ray.serve.auth.middleware import AuthMiddleware
from coe_ray.serve.telemetry.request_record import RequestRecord, current_record, set_current_record


async def told(request: Request) -> Response:
    return JSONResponse({"client": current_record().key, "headers": dict(request.headers)})


async def healthy(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


class Recorded:
    """Gives each request its record, as `Watched` does, and keeps the last one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with set_current_record(RequestRecord("an id", scope["method"])):
            scope["app"].state.last = current_record()
            await self._app(scope, receive, send)


@pytest.fixture
def app(tmp_path: Path) -> Starlette:
    """`app.state.key` is the only key; two requests at once are its limit."""
    key = add_key(tmp_path / "keys.json", "ci", concurrency=2)
    app = Starlette(routes=[Route("/v1/models", told), Route("/healthz", healthy)])
    app.add_middleware(AuthMiddleware, authenticator=Authenticator(AccessConfig(), tmp_path / "keys.json", lambda: 1))
    app.add_middleware(Recorded)
    app.state.key = key
    return app


@pytest.fixture
async def client(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as client:
        yield client


async def test_a_key_opens_and_its_limits_are_told(app: Starlette, client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/models", headers={"Authorization": f"Bearer {app.state.key}"})

    assert answer.json()["client"] == "ci"
    assert answer.headers["x-ratelimit-limit-requests"] == "60000"
    assert answer.headers["x-ratelimit-remaining-requests"] == "59999"


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1", "/nowhere", "/healthz/", "/console/", "/console/app.js/", "/openapi.json"]
)
async def test_without_a_key_nothing_but_health_is_told(app: Starlette, client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["connection"] == "close"
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_api_key")
    assert (app.state.last.key, app.state.last.error) == (None, "invalid_api_key")
    assert (await client.get("/healthz")).status_code == 200


async def test_a_stream_holds_its_place_until_its_last_byte(app: Starlette, client: httpx.AsyncClient) -> None:
    begun, going = asyncio.Semaphore(0), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        begun.release()
        yield b"first"
        await going.wait()
        yield b"last"

    async def stream(request: Request) -> Response:
        return StreamingResponse(slowly())

    app.router.routes.append(Route("/v1/stream", stream))
    headers = {"Authorization": f"Bearer {app.state.key}"}
    streams = [asyncio.create_task(client.get("/v1/stream", headers=headers)) for _ in range(2)]
    for _ in streams:
        await begun.acquire()
    refused = await client.get("/v1/models", headers=headers)
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "concurrency_limit_exceeded"
    assert (app.state.last.key, app.state.last.error) == ("ci", "concurrency_limit_exceeded")

    going.set()
    assert [each.text for each in await asyncio.gather(*streams)] == ["firstlast"] * 2
    assert (await client.get("/v1/models", headers=headers)).status_code == 200


async def test_a_full_endpoint_says_so_and_is_healthy(
    app: Starlette, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coe_ray.serve.auth.middleware.MOST_UNDER_WAY", 1)
    begun, going = asyncio.Event(), asyncio.Event()

    async def wait(request: Request) -> Response:
        begun.set()
        await going.wait()
        return JSONResponse({})

    app.router.routes.append(Route("/v1/wait", wait))
    headers = {"Authorization": f"Bearer {app.state.key}"}
    waiting = asyncio.create_task(client.get("/v1/wait", headers=headers))
    await begun.wait()
    refused = await client.get("/v1/models", headers=headers)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("server_error", "overloaded")
    assert app.state.last.error == "overloaded"
    assert (await client.get("/healthz")).status_code == 200

    going.set()
    assert (await waiting).status_code == 200
    assert (await client.get("/v1/models", headers=headers)).status_code == 200


async def test_a_request_that_fails_gives_its_place_back(app: Starlette, client: httpx.AsyncClient) -> None:
    async def fails(request: Request) -> Response:
        raise ZeroDivisionError

    app.router.routes.append(Route("/v1/fails", fails))
    headers = {"Authorization": f"Bearer {app.state.key}"}
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await client.get("/v1/fails", headers=headers)
    assert (await client.get("/v1/models", headers=headers)).status_code == 200
