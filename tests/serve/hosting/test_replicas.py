"""The number of replicas follows the controller's reports and never waits for them."""

import asyncio
import logging
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from ray import serve

from coe_ray.serve.hosting import replicas
from coe_ray.serve.hosting.replicas import ReplicaCount


class FakeController:
    """Reports running replicas by application, as soon as it is released; in place of `serve.status`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **running: int) -> None:
        self.running = running
        self.reads = 0
        self.released = threading.Event()
        self.released.set()
        monkeypatch.setattr(serve, "status", self.status)
        monkeypatch.setattr(replicas, "REFRESH_EVERY_S", 0.0)

    def status(self) -> Any:
        self.reads += 1
        self.released.wait(30)
        applications = {
            name: SimpleNamespace(deployments={"ingress": SimpleNamespace(replica_states={"RUNNING": count})})
            for name, count in self.running.items()
        }
        return SimpleNamespace(applications=applications)


async def settle(count: ReplicaCount) -> None:
    assert count._refresh is not None
    await count._refresh


async def test_count_is_that_of_its_own_application(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeController(monkeypatch, default=2, gateway=5)
    count = ReplicaCount("gateway", "ingress")
    assert count.now == 1
    count.refresh()
    await settle(count)
    assert count.now == 5


async def test_a_controller_that_hangs_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    controller = FakeController(monkeypatch, default=3)
    controller.released.clear()
    count = ReplicaCount("default", "ingress")
    with caplog.at_level(logging.WARNING, logger="ray.serve"):
        for _ in range(5):
            count.refresh()
            await asyncio.sleep(0.01)
    assert (count.now, controller.reads) == (1, 1)
    assert "has not reported the number of ingress replicas yet" in caplog.text
    controller.released.set()
    await settle(count)
    assert count.now == 3


async def test_a_failure_leaves_the_count_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    controller = FakeController(monkeypatch, default=3)
    count = ReplicaCount("default", "ingress")
    count.refresh()
    await settle(count)
    controller.running.clear()
    with caplog.at_level(logging.WARNING, logger="ray.serve"):
        count.refresh()
        await settle(count)
    assert count.now == 3
    assert "the number of ingress replicas is not known" in caplog.text


async def test_reports_are_read_now_and_then_only(monkeypatch: pytest.MonkeyPatch) -> None:
    controller = FakeController(monkeypatch, default=1)
    monkeypatch.setattr(replicas, "REFRESH_EVERY_S", 10.0)
    count = ReplicaCount("default", "ingress")
    for _ in range(3):
        count.refresh()
        await settle(count)
    assert controller.reads == 1
