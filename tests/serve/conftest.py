"""One profile for all tests here: served in process, and on a cluster where a test needs Serve itself."""

import logging
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NoReturn

import httpx
import pytest
import ray
from openai import AsyncOpenAI, OpenAI

from tests.serve.cluster import Cluster
from tests.serve.upstream import Upstream
from tests.serve.world import build_world
from tests.support.endpoint import make_endpoint, serve_app

SERVE = {} if os.environ.get("COE_TEST_PLAIN_SERVE") else {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
"""As in production, but for HAProxy: its ports are the machine's, and another cluster may have them."""


@pytest.fixture(autouse=True)
def no_other_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray connects by itself to whatever cluster this machine has, where it is used before `ray.init`: not here."""

    def refused(*_: object, **__: object) -> NoReturn:
        raise AssertionError("a test of the endpoint must not connect to a cluster in this process")

    monkeypatch.setattr(ray, "init", refused)


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    with Upstream().started() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Path:
    """The profile's path. Not built where the cluster is not asked for."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_HUB_OFFLINE", "1")
        return build_world(tmp_path_factory.mktemp("world"), upstream.base_url)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """It starts up while the index is built."""
    with Cluster.started(SERVE) as cluster:
        assert cluster.deploy(request.getfixturevalue("world")) is None
        yield cluster


@pytest.fixture(scope="session")
def cluster_http(cluster: Cluster) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=cluster.url, timeout=30) as client:
        yield client


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
    """Address of the endpoint in process, with the same profile as the cluster's."""
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
