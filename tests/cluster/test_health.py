"""Health of deployments, and which models an application hosts; no cluster."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray import serve
from ray.serve.schema import ApplicationStatus

from coe_ray.cluster import health
from coe_ray.core.errors import ConfigError
from tests.support.hosted_profiles import hosted_model, profile_of


def handle(check: Callable[[], Awaitable[None]]) -> Any:
    """A Serve handle as far as `is_answering` uses it."""
    return SimpleNamespace(deployment_name="model-x", check_health=SimpleNamespace(remote=check))


async def test_a_healthy_replica_answers() -> None:
    async def healthy() -> None:
        return None

    assert await health.is_answering(handle(healthy))


async def test_a_broken_engine_does_not_answer() -> None:
    async def broken() -> None:
        raise RuntimeError("engine is dead")

    assert not await health.is_answering(handle(broken))


async def test_a_starting_replica_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "READY_S", 0.01)

    async def starting() -> None:
        await asyncio.sleep(10)

    assert not await health.is_answering(handle(starting))


STATUS = SimpleNamespace(status=ApplicationStatus.RUNNING)
"""Of every application."""


@pytest.fixture
def applications(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The applications of a Serve and what each hosts, by name; in Serve's place."""
    hosting: dict[str, Any] = {}
    monkeypatch.setattr(serve, "status", lambda: SimpleNamespace(applications=dict.fromkeys(hosting, STATUS)))
    monkeypatch.setattr(health, "_serving_fingerprint", SimpleNamespace(remote=hosting.__getitem__))
    monkeypatch.setattr(ray, "get", lambda result, **_: result)
    monkeypatch.setattr(STATUS, "status", ApplicationStatus.RUNNING)
    return hosting


def test_a_profile_is_served_by_the_named_application(applications: dict[str, Any]) -> None:
    profile = profile_of(hosted_model())
    applications["other"] = health.hosted_fingerprint(profile)
    assert not health.is_serving(profile)
    assert health.is_serving(profile, "other")


@pytest.mark.parametrize("status", health.UP)
def test_an_unhealthy_application_is_not_replaced(applications: dict[str, Any], status: ApplicationStatus) -> None:
    """A bench would deploy its own in its place, and delete that in the end."""
    profile = profile_of(hosted_model())
    applications["default"] = health.hosted_fingerprint(profile)
    STATUS.status = status
    assert health.is_serving(profile)


def test_an_application_that_does_not_answer_is_named(
    applications: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def time_out(_: object, **__: object) -> None:
        raise ray.exceptions.GetTimeoutError

    applications["default"] = "x"
    monkeypatch.setattr(ray, "get", time_out)
    with pytest.raises(ConfigError, match=r"application 'default' of this cluster does not answer .*serve shutdown"):
        health.is_serving(profile_of(hosted_model()))


def test_an_application_that_hosts_other_models_is_refused(applications: dict[str, Any]) -> None:
    applications["default"] = health.hosted_fingerprint(profile_of(hosted_model(2)))
    with pytest.raises(ConfigError, match=r"serves other models than profile 'mine' wants; stop them"):
        health.is_serving(profile_of(hosted_model()))
