"""Readiness of an endpoint's dependencies, over handles that a test scripts."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from coe_ray.serve.hosting import readiness
from coe_ray.serve.hosting.readiness import RETRIEVER_NAME, DependencyHealth


class FakeDeployment:
    """A handle whose deployment is up or not; counts its health checks."""

    def __init__(self, *, up: bool = True) -> None:
        self.up = up
        self.checks = 0
        self.deployment_name = "fake"
        self.check_health = SimpleNamespace(remote=self._check)

    async def _check(self) -> None:
        self.checks += 1
        await asyncio.sleep(0)
        if not self.up:
            raise RuntimeError("not up")


def dependencies(**deployments: FakeDeployment) -> DependencyHealth:
    handles: Any = deployments
    return DependencyHealth(handles)


@pytest.fixture
def always_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "CHECK_EVERY_S", -1.0)


async def test_what_does_not_answer_is_waited_for() -> None:
    health = dependencies(retriever=FakeDeployment(), broken=FakeDeployment(up=False))
    assert await health.waiting() == ["broken"]


async def test_many_requests_share_one_check() -> None:
    deployment = FakeDeployment()
    health = dependencies(retriever=deployment)
    await asyncio.gather(*(health.waiting() for _ in range(50)))
    await health.waiting()
    assert deployment.checks == 1


async def test_a_request_that_leaves_does_not_end_the_check_of_others() -> None:
    health = dependencies(broken=FakeDeployment(up=False))
    first, second = (asyncio.ensure_future(health.waiting()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == ["broken"]


async def test_an_expert_is_needed_until_it_was_up_once(always_checked: None) -> None:
    expert = FakeDeployment(up=False)
    health = dependencies(expert=expert)
    await health.waiting()
    assert health.is_needed("expert", "sorter")
    expert.up = True
    assert await health.waiting() == []
    expert.up = False
    assert await health.waiting() == ["expert"]
    assert not health.is_needed("expert", "sorter")


async def test_retriever_and_classifier_are_always_needed() -> None:
    health = dependencies(sorter=FakeDeployment(), retriever=FakeDeployment())
    assert await health.waiting() == []
    assert health.is_needed(RETRIEVER_NAME, "sorter")
    assert health.is_needed("sorter", "sorter")
