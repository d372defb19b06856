"""A fault server and a model that calls it, for each test."""

from collections.abc import AsyncIterator

import pytest_asyncio

from coe_ray.llm.http import HttpModel
from tests.support.fault_server import FaultServer, running
from tests.support.model_under_test import made


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FaultServer]:
    async with running() as server:
        yield server


@pytest_asyncio.fixture
async def model(server: FaultServer) -> AsyncIterator[HttpModel]:
    model = made(server.base_url)
    yield model
    await model.close()
