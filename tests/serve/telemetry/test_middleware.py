"""The middleware around an application in this process: every way that a request can end is written down."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from coe_ray.core.stages import stage
from coe_ray.core.types import Usage
from coe_ray.serve.api.openai import RequestError
from coe_ray.serve.telemetry.middleware import TelemetryMiddleware
from coe_ray.serve.telemetry.request_record import RequestRecord, current_record


@pytest.fixture
def records() -> list[RequestRecord]:
    """What the observer of the application was given."""
    return []


@pytest.fixture
def client(records: list[RequestRecord]) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(application(records), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


async def streams(_: Request) -> Response:
    async def events() -> AsyncIterator[bytes]:
        yield b"first"
        current_record().usage = Usage(1, 2)

    with stage("expert"):
        await asyncio.sleep(0)
    return StreamingResponse(events())


async def refuses(_: Request) -> Response:
    raise RequestError(404, "no", code="model_not_found")


async def breaks(_: Request) -> Response:
    raise ValueError("the question")


async def hangs(_: Request) -> Response:
    await asyncio.sleep(60)
    return Response()


async def healthz(_: Request) -> Response:
    return JSONResponse({"id": current_record().request_id})


async def refused(_: Request, error: RequestError) -> JSONResponse:
    current_record().set_error(error)
    return JSONResponse({}, error.status)


def application(records: list[RequestRecord]) -> Starlette:
    handlers = {"/streams": streams, "/refused": refuses, "/breaks": breaks, "/hangs": hangs, "/healthz": healthz}
    api = Starlette(routes=[Route(path, handler) for path, handler in handlers.items()])
    api.add_exception_handler(RequestError, refused)  # type: ignore[arg-type]  # as in responses.py
    api.add_middleware(TelemetryMiddleware, observers=[records.append])
    return api


async def test_a_stream_is_written_down_at_its_end(client: httpx.AsyncClient, records: list[RequestRecord]) -> None:
    response = await client.get("/streams", headers={"x-request-id": "mine"})
    assert response.text == "first"
    (record,) = records
    assert (record.request_id, record.method, record.path, record.status) == ("mine", "GET", "/streams", 200)
    assert record.usage == Usage(1, 2)
    assert list(record.stages) == ["expert"]
    assert record.seconds >= record.stages["expert"]
    assert "x-coe-request-id" not in response.headers


async def test_an_id_that_is_not_fit_is_told_to_have_been_replaced(
    client: httpx.AsyncClient, records: list[RequestRecord]
) -> None:
    response = await client.get("/streams", headers={"x-request-id": "not fit"})
    (record,) = records
    assert record.request_id != "not fit"
    assert response.headers["x-coe-request-id"] == record.request_id


@pytest.mark.parametrize(
    ("path", "at", "status", "error"),
    [
        ("/refused", "/refused", 404, "model_not_found"),
        ("/breaks", "/breaks", 500, "ValueError"),
        ("/nowhere?secret", "other", 404, None),
    ],
)
async def test_failures(
    path: str, at: str, status: int, error: str | None, client: httpx.AsyncClient, records: list[RequestRecord]
) -> None:
    assert (await client.get(path)).status_code == status
    (record,) = records
    assert (record.path, record.status, record.error) == (at, status, error)


async def test_a_client_that_leaves(records: list[RequestRecord]) -> None:
    transport = httpx.ASGITransport(application(records))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        asking = asyncio.create_task(client.get("/hangs"))
        await asyncio.sleep(0.1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    (record,) = records
    assert (record.path, record.status, record.error) == ("/hangs", 499, "Cancelled")


async def test_probes_are_served_and_not_counted(client: httpx.AsyncClient, records: list[RequestRecord]) -> None:
    assert (await client.get("/healthz", headers={"x-request-id": "probe"})).json() == {"id": "probe"}
    assert records == []
