"""What needs no cluster of `governors.py`: how readiness is judged, what counts as in flight, whose limit is whose."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from coe_ray.cluster import governors, health, hosted
from coe_ray.core.errors import ServerFault
from coe_ray.core.traffic import Traffic, notify_when_sent
from coe_ray.core.types import Call, Message
from coe_ray.llm.retry import RetryPolicy
from coe_ray.ratelimit.governor import RateLimits, UsageReport


def handle(check: Callable[[], Awaitable[None]]) -> Any:
    """A Serve handle as far as `answers` looks at it."""
    return SimpleNamespace(deployment_name="model-x", check_health=SimpleNamespace(remote=check))


async def test_a_well_replica_answers() -> None:
    async def well() -> None:
        return None

    assert await health.is_answering(handle(well))


async def test_a_broken_engine_does_not() -> None:
    async def broken() -> None:
        raise RuntimeError("engine is dead")

    assert not await health.is_answering(handle(broken))


async def test_a_starting_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "READY_S", 0.01)

    async def starting() -> None:
        await asyncio.sleep(10)

    assert not await health.is_answering(handle(starting))


CALL = Call((Message("user", "Where?"),))


class Replica:
    """A Serve handle whose one method fails; notes what was in flight meanwhile."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self.seen: list[tuple[int, int]] = []
        self.chat_json = self.chat_events = self

    def options(self, stream: bool) -> "Replica":
        return self

    def remote(self, body: object) -> "Replica":
        self.seen.append((self._traffic.in_flight, self._traffic.backing_off.total()))
        return self

    def cancel(self) -> None:
        pass

    def __await__(self) -> Any:
        raise ValueError("dead")

    def __aiter__(self) -> "Replica":
        return self

    async def __anext__(self) -> bytes:
        raise ValueError("dead")


@pytest.mark.parametrize("way", ["complete", "stream"])
async def test_requests_to_a_replica_are_counted_and_told(way: str) -> None:
    traffic, sent = Traffic(), list[str]()
    replica: Any = Replica(traffic)
    model = hosted.HostedModel("toy", replica, RetryPolicy(attempts=3, base_s=0.001), traffic)
    with notify_when_sent(lambda: sent.append("sent")), pytest.raises(ServerFault):
        await (model.complete(CALL) if way == "complete" else anext(model.stream(CALL)))
    assert replica.seen == [(1, 0)] * 3
    assert sent == ["sent"] * 3
    assert (traffic.in_flight, traffic.backing_off.total()) == (0, 0)


def test_every_provider_key_has_a_governor_of_its_own() -> None:
    actor = governors.GovernorActor()
    assert actor.report("one", UsageReport("a", RateLimits(8), waiting=9)).slots == 8
    assert actor.report("one", UsageReport("b", RateLimits(8), waiting=9)).slots == 0
    assert actor.report("other", UsageReport("b", RateLimits(4), waiting=9)).slots == 4
