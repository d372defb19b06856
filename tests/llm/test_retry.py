"""When a call is tried again, when not, and after how long."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenacity import AsyncRetrying, RetryCallState

from coe_ray.core import errors
from coe_ray.core.fail_fast import REQUEST_ATTEMPTS, retry_budget
from coe_ray.llm.faults import parse_retry_after
from coe_ray.llm.http import HttpModel
from coe_ray.llm.retry import RetryPolicy, Stopwatch, backoff_s, call_with_retry
from tests.support.fault_server import FaultServer, Reply, answer, fault
from tests.support.model_under_test import CALL, failure, made

pytestmark = pytest.mark.asyncio

OFTEN = RetryPolicy(attempts=12, total_s=60.0, base_s=0.001, max_s=0.002)


async def test_a_passing_fault_costs_only_tries(server: FaultServer, model: HttpModel) -> None:
    server.reset(fault(503, "no"), Reply(reset=True), answer("B"))
    completion = await model.complete(CALL)
    assert (completion.text, completion.attempts, server.served) == ("B", 3, 3)


async def test_a_final_fault_after_passing_ones_counts_them_all(server: FaultServer, model: HttpModel) -> None:
    server.reset(fault(429, "Slow down"), fault(401, "no"))
    error = await failure(model)
    assert (type(error), error.attempts, server.served) == (errors.BadCredentials, 2, 2)
    assert "after 2 attempts" in str(error)


@pytest.mark.parametrize("headers", [{"Retry-After": "0.3"}, {"retry-after-ms": "300", "Retry-After": "60"}])
async def test_retry_after_is_the_least_wait(server: FaultServer, model: HttpModel, headers: dict[str, str]) -> None:
    server.reset(fault(429, "Slow down", headers=headers), answer("B"))
    completion = await model.complete(CALL)
    assert completion.attempts == 2
    assert completion.seconds >= 0.3  # 60 s would be beyond the time left


async def test_retry_after_as_a_date(server: FaultServer, model: HttpModel) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    server.reset(fault(503, "no", headers={"Retry-After": date}), answer("B"))
    error = await failure(model)
    assert (type(error), error.attempts, error.status) == (errors.LongCooldown, 1, 503)
    assert error.message.endswith("(the provider asks for 60 minutes)")
    assert error.retry_after is not None
    assert 1800 < error.retry_after <= 3600


async def test_a_retry_after_beyond_the_time_left_fails_at_once(server: FaultServer, model: HttpModel) -> None:
    server.reset(fault(429, "Slow down", headers={"Retry-After": "60"}))
    async with asyncio.timeout(30):
        error = await failure(model)
    assert (type(error), error.attempts, error.retry_after) == (errors.LongCooldown, 1, 60.0)


async def test_total_s_ends_the_tries(server: FaultServer) -> None:
    server.reset(Reply(503, delay_s=0.1))
    model = made(server.base_url, retry=RetryPolicy(attempts=100, total_s=0.35, base_s=0.001, max_s=0.001))
    error = await failure(model)
    await model.close()
    assert 2 <= error.attempts <= 4


async def test_the_same_error_over_and_over_is_no_accident(server: FaultServer) -> None:
    server.reset(fault(500, "other"), fault(500, "same"))
    model = made(server.base_url, retry=OFTEN)
    error = await failure(model)
    await model.close()
    assert (error.attempts, server.served) == (1 + OFTEN.same_error, 1 + OFTEN.same_error)


async def test_errors_that_change_use_up_the_attempts(server: FaultServer) -> None:
    server.reset(*(fault(500 + number % 2, "no") for number in range(50)))
    model = made(server.base_url, retry=OFTEN)
    assert (await failure(model)).attempts == OFTEN.attempts == server.served
    await model.close()


async def test_to_be_told_to_wait_is_nothing_new(server: FaultServer) -> None:
    wait = fault(429, "Slow down", headers={"retry-after-ms": "1"})
    server.reset(*[wait] * 6, answer("B"))
    model = made(server.base_url, retry=OFTEN)
    assert (await model.complete(CALL)).attempts == 7
    server.reset(*[fault(500, "no"), wait] * (OFTEN.same_error - 1), fault(500, "no"))
    assert (await failure(model)).attempts == 2 * OFTEN.same_error - 1  # whatever came between
    await model.close()


async def test_the_numbers_of_the_policy() -> None:
    policy = RetryPolicy()
    assert (policy.attempts, policy.total_s, policy.same_error) == (8, 300.0, 6)


@given(asked_for=st.none() | st.floats(0, 1e6), number=st.integers(1, 30))
async def test_the_wait_is_what_was_asked_for_and_a_jitter_that_grows_threefold(
    asked_for: float | None, number: int
) -> None:
    policy = RetryPolicy(base_s=0.5, max_s=30.0)
    state = RetryCallState(AsyncRetrying(), None, (), {})
    error = errors.ServerFault("a", "no", retry_after=asked_for)
    state.set_exception((type(error), error, None))
    state.attempt_number = number
    least = asked_for or 0.0
    assert least <= backoff_s(policy, state) <= least + min(0.5 * 3 ** (number - 1), 30.0)


async def test_what_is_no_call_error_passes_untouched() -> None:
    tries: list[int] = []

    async def once() -> None:
        tries.append(1)
        raise errors.RateLimited("a", "no") if len(tries) == 1 else KeyError("bug")

    with pytest.raises(KeyError):
        await call_with_retry(OFTEN, once)
    assert len(tries) == 2


async def test_time_that_is_left_out_does_not_count() -> None:
    watch = Stopwatch()
    tries: list[int] = []

    async def once() -> str:
        tries.append(1)
        watch.exclude(1000.0)
        if len(tries) < 4:
            raise errors.ServerFault("a", "no")
        return "B"

    assert await call_with_retry(OFTEN, once, watch=watch) == ("B", 4)
    assert watch.seconds < 0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT"}, 30.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:30 -0000"}, 30.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:00:00 GMT"}, 0.0),
        ({"Retry-After": "Wed, 99 Oct 99999 07:00:00 GMT"}, None),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "?", "Retry-After": "2"}, 2.0),
    ],
)
async def test_reading_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert parse_retry_after(headers, datetime(2015, 10, 21, 7, 28, tzinfo=UTC)) == seconds


async def test_a_try_that_was_not_sent_spends_nothing_of_a_request() -> None:
    async def refused_by_us() -> None:
        raise errors.BadCredentials("m", "the breaker is open", attempts=0)

    async def refused() -> None:
        raise errors.BadCredentials("m", "no such key")

    with retry_budget() as budget:
        for once, spent in ((refused_by_us, 0), (refused, 1)):
            with pytest.raises(errors.BadCredentials):
                await call_with_retry(RetryPolicy(), once)
            assert budget.attempts == REQUEST_ATTEMPTS - spent
