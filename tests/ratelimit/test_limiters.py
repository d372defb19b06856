"""The registry of a process's limiters: one for each address and key, limits joined, governors of its own."""

import asyncio
import pickle
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.core.call_activity import CallActivity
from coe_ray.ratelimit.governor import Lease, RateLimits, UsageReport
from coe_ray.ratelimit.limiters import LimiterRegistry, provider_id
from tests.support.virtual_time import run_virtually

URLS, SECRETS = st.text(max_size=20), st.text(max_size=20)


@pytest.fixture
def limiters() -> LimiterRegistry:
    return LimiterRegistry()


def test_one_limiter_for_each_address_and_key(limiters: LimiterRegistry) -> None:
    one = limiters.limiter("http://a/v1", "k", RateLimits())
    assert limiters.limiter("http://a/v1/", "k", RateLimits()) is one
    assert limiters.limiter("http://b/v1", "k", RateLimits()) is not one
    assert limiters.limiter("http://a/v1", "l", RateLimits()) is not one
    assert limiters.limiter("http://a/v1", None, RateLimits()) is not one


def test_all_limiters_count_into_one_activity() -> None:
    activity = CallActivity()
    limiters = LimiterRegistry(activity=activity)
    for url in ("http://a/v1", "http://b/v1"):
        assert limiters.limiter(url, None, RateLimits()).activity is activity


@pytest.mark.parametrize("is_live", [True, False])
async def test_the_governor_is_told_whether_requests_are_live(is_live: bool) -> None:
    told: list[bool] = []

    async def governor(provider: str, report: UsageReport) -> Lease:
        told.append(report.is_live)
        return Lease(limit=1, slots=1)

    async with LimiterRegistry(governor, is_live=is_live).limiter("http://a/v1", None, RateLimits()).slot():
        assert told == [is_live]


def test_the_key_does_not_show_in_the_provider_id() -> None:
    assert "sk-secret" not in provider_id("http://a/v1", "sk-secret")
    assert provider_id("http://a/v1", "sk-secret") != provider_id("http://a/v1", "sk-other")


@given(URLS, URLS, SECRETS, SECRETS)
def test_a_provider_id_is_of_one_address_and_key(url: str, other_url: str, secret: str, other_secret: str) -> None:
    same = (url.rstrip("/"), secret) == (other_url.rstrip("/"), other_secret)
    assert (provider_id(url, secret) == provider_id(other_url, other_secret)) == same


async def test_limits_of_several_models_are_joined() -> None:
    joined: list[RateLimits] = []

    async def governor(provider: str, report: UsageReport) -> Lease:
        joined.append(report.limits)
        return Lease(limit=1, slots=1)

    limiters = LimiterRegistry(governor)
    limiters.limiter("http://a/v1", None, RateLimits(8, 60, None))
    limiters.limiter("http://a/v1", None, RateLimits(32, 600, 1000))
    async with limiters.limiter("http://a/v1", None, RateLimits(16)).slot():
        assert joined == [RateLimits(32, 60, 1000)]


async def test_each_limiter_reports_as_its_provider() -> None:
    providers: list[str] = []

    async def governor(provider: str, report: UsageReport) -> Lease:
        providers.append(provider)
        return Lease(limit=1, slots=1)

    limiters = LimiterRegistry(governor)
    for secret in ("k", "l"):
        async with limiters.limiter("http://a/v1", secret, RateLimits(1)).slot():
            assert providers[-1] == provider_id("http://a/v1", secret)


def test_a_limiter_can_be_pickled_before_its_first_call(limiters: LimiterRegistry) -> None:
    limiter = pickle.loads(pickle.dumps(limiters.limiter("http://a/v1", "k", RateLimits(3))))

    async def call() -> None:
        async with limiter.slot():
            assert limiter.activity.in_flight == 1

    run_virtually(call())


def test_a_process_has_governors_of_its_own(limiters: LimiterRegistry) -> None:
    async def run() -> None:
        one = limiters.limiter("http://a/v1", None, RateLimits(3))
        other = limiters.limiter("http://b/v1", None, RateLimits(1))
        async with AsyncExitStack() as held:
            for limiter in (one, one, one, other):
                await held.enter_async_context(limiter.slot())
            for limiter in (one, other):  # each is at its own limit
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(60), limiter.slot():
                        raise AssertionError

    run_virtually(run())
