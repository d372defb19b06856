"""One profile for all tests here: served in process, and on a cluster where a test needs Serve itself."""

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.serve.upstream import Upstream
from tests.serve.world import build_world
from tests.support.endpoint import make_endpoint, serve_app


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    with Upstream().started() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Path:
    """The profile's path."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_HUB_OFFLINE", "1")
        return build_world(tmp_path_factory.mktemp("world"), upstream.base_url)


@pytest.fixture(scope="session")
def log() -> Iterator[list[str]]:
    """What the endpoint in process logged, formatted, tracebacks included."""
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(logging.Formatter().format(record))  # type: ignore[method-assign]
    loggers = [logging.getLogger(name) for name in ("ray.serve", "uvicorn.error", "asyncio")]
    for logger in loggers:
        logger.addHandler(handler)
    yield lines
    for logger in loggers:
        logger.removeHandler(handler)


@pytest.fixture(scope="session")
def url(world: Path, log: list[str]) -> Iterator[str]:
    """Address of the endpoint in process."""
    with serve_app(make_endpoint(world).app) as url:
        yield url


@pytest.fixture(scope="session")
def client(url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(url: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as client:
        yield client


@pytest.fixture(scope="session")
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=30) as client:
        yield client
