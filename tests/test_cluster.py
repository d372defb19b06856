"""What needs no cluster of `cluster.py`: how a deployment's readiness is judged."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from coe_ray import cluster


def handle(check: Callable[[], Awaitable[None]]) -> Any:
    """A Serve handle as far as `answers` looks at it."""
    return SimpleNamespace(deployment_name="model-x", check_health=SimpleNamespace(remote=check))


async def test_a_well_replica_answers() -> None:
    async def well() -> None:
        return None

    assert await cluster.answers(handle(well))


async def test_a_broken_engine_does_not() -> None:
    async def broken() -> None:
        raise RuntimeError("engine is dead")

    assert not await cluster.answers(handle(broken))


async def test_a_starting_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "READY_S", 0.01)

    async def starting() -> None:
        await asyncio.sleep(10)

    assert not await cluster.answers(handle(starting))
