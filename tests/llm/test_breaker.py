"""What only a person can mend is asked once: all other calls of that model are not sent."""

import asyncio
import logging
import math
import pickle
import time
from collections.abc import Awaitable, Callable

import pytest

from coe_ray.core import errors
from coe_ray.core.errors import CallError
from coe_ray.core.types import Completion
from coe_ray.llm.breaker import ModelBreaker
from coe_ray.ratelimit.governor import Lease, RateGovernor, UsageReport
from coe_ray.ratelimit.limiter import LimiterRegistry
from tests.support.fault_server import FaultServer, Reply, answer, fault
from tests.support.model_under_test import CALL, KEY, LATE, collect_stream, made, until

pytestmark = pytest.mark.asyncio

STOPPING = [
    (fault(401, "Incorrect API key"), errors.BadCredentials),
    (fault(404, "no such model"), errors.NoSuchModel),
    (fault(429, LATE, "insufficient_quota"), errors.QuotaUsedUp),
    (fault(429, "Slow down", headers={"Retry-After": "3600"}), errors.LongCooldown),
]
DENIED = errors.BadCredentials("expert-a", "HTTP 401: no", status=401, body="{}")


class Clock:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(rest_s: float = math.inf, clock: Callable[[], float] = time.monotonic) -> ModelBreaker:
    breaker = ModelBreaker(rest_s, clock)
    with pytest.raises(errors.BadCredentials, match="HTTP 401"), breaker.guard():
        raise DENIED
    return breaker


@pytest.mark.parametrize(("reply", "kind"), STOPPING)
async def test_later_calls_are_not_sent(server: FaultServer, reply: Reply, kind: type[CallError]) -> None:
    server.reset(reply, answer("B"))
    model = made(server.base_url)
    first, second = [await end(model.complete(CALL)) for _ in range(2)]
    with pytest.raises(kind, match="not asked") as streamed:
        await collect_stream(model)
    await model.close()
    assert isinstance(first, kind)
    assert isinstance(second, kind)
    assert (first.attempts, second.attempts, streamed.value.attempts, server.served) == (1, 0, 0, 1)
    assert (second.message, second.status, second.body) == (f"not asked: {first.message}", first.status, "")


async def test_a_prompt_that_is_forbidden_stops_no_other(server: FaultServer) -> None:
    server.reset(fault(403, "Your input was flagged"), fault(403, "Blocked by our firewall"), answer("B"))
    model = made(server.base_url)
    ends = [await end(model.complete(CALL)) for _ in range(3)]
    await model.close()
    assert [type(each) for each in ends] == [errors.ContentFiltered, errors.BadCall, Completion]


async def test_calls_that_wait_for_their_turn_are_not_sent(server: FaultServer) -> None:
    server.reset(fault(401, "no"), answer("B"))
    model = made(server.base_url, max_concurrency=1)
    ends = await asyncio.gather(*(end(model.complete(CALL)) for _ in range(50)))
    await model.close()
    assert {type(each) for each in ends} == {errors.BadCredentials}
    assert sum(each.attempts for each in ends) == server.served == 1


async def test_calls_on_their_way_end_on_their_own(server: FaultServer) -> None:
    server.reset(fault(401, "no"), Reply(200, answer("B").body, delay_s=0.2))
    model = made(server.base_url, max_concurrency=4)
    ends = await asyncio.gather(*(end(model.complete(CALL)) for _ in range(20)))
    last = await end(model.complete(CALL))
    await model.close()
    assert sum(isinstance(each, Completion) for each in ends) == 3
    assert sum(each.attempts for each in ends) == server.served == 4
    assert last.attempts == 0  # an answer that was on its way does not close the breaker


async def test_a_call_that_was_to_be_tried_again_is_not_sent_again(server: FaultServer) -> None:
    server.reset(fault(503, "no", headers={"Retry-After": "0.5"}), fault(401, "no"))
    limiters = LimiterRegistry()
    model = made(server.base_url, limiters=limiters)
    patient = asyncio.create_task(end(model.complete(CALL)))
    await until(lambda: limiters.activity.backing_off["ServerFault"] == 1)
    await end(model.complete(CALL))
    error = await patient
    await model.close()
    assert isinstance(error, errors.BadCredentials)
    assert (error.attempts, server.served) == (1, 2)


async def test_another_model_of_the_same_gates_goes_on(server: FaultServer) -> None:
    server.reset(fault(404, "no"), answer("B"))
    limiters = LimiterRegistry()
    stopped, other = made(server.base_url, limiters=limiters), made(server.base_url, limiters=limiters)
    assert isinstance(await end(stopped.complete(CALL)), errors.NoSuchModel)
    assert (await other.complete(CALL)).text == "B"
    await stopped.close()
    await other.close()


async def test_an_answer_closes_the_circuit_after_its_rest(server: FaultServer) -> None:
    server.reset(fault(401, "no"), answer("B"))
    model = made(server.base_url, breaker=ModelBreaker(rest_s=0.0))
    await end(model.complete(CALL))
    for _ in range(3):
        assert (await model.complete(CALL)).text == "B"
    await model.close()
    assert server.served == 4


async def test_no_rest_is_long_enough_by_default() -> None:
    clock = Clock()
    breaker = opened(clock=clock)
    for _ in range(3):
        clock.now += 1e9
        with pytest.raises(errors.BadCredentials, match="not asked: HTTP 401: no") as caught, breaker.guard():
            raise AssertionError("let through")
        assert (caught.value.status, caught.value.attempts, caught.value.body) == (401, 0, "")


async def test_one_call_at_a_time_is_let_through() -> None:
    clock = Clock()
    breaker = opened(30.0, clock)
    refuses(breaker, "HTTP 401")
    clock.now = 30.0
    with breaker.guard():
        refuses(breaker, "HTTP 401")
        with pytest.raises(errors.BadCredentials), breaker.guard():
            raise AssertionError("let through")
    breaker.check()


@pytest.mark.parametrize("broken", [errors.ServerFault("expert-a", "no"), errors.RateLimited("expert-a", "no")])
async def test_no_answer_is_no_proof(broken: CallError) -> None:
    clock = Clock()
    breaker = opened(30.0, clock)
    clock.now = 31.0
    with pytest.raises(type(broken)), breaker.guard():
        raise broken
    refuses(breaker, "HTTP 401")
    clock.now = 61.0
    breaker.check()


@pytest.mark.parametrize("kind", [errors.BadCall, errors.ContextTooLong, errors.ContentFiltered])
async def test_an_error_of_the_one_call_proves_that_the_key_works(kind: type[CallError]) -> None:
    clock = Clock()
    breaker = opened(30.0, clock)
    clock.now = 31.0
    with pytest.raises(kind), breaker.guard():
        raise kind("expert-a", "no")
    breaker.check()


async def test_what_is_wrong_now_is_said_afterwards() -> None:
    clock = Clock()
    breaker = opened(30.0, clock)
    clock.now = 31.0
    with pytest.raises(errors.QuotaUsedUp), breaker.guard():
        raise errors.QuotaUsedUp("expert-a", "HTTP 402", status=402)
    refuses(breaker, "HTTP 402")


async def test_a_call_on_its_way_neither_closes_it_nor_changes_what_is_said() -> None:
    breaker = ModelBreaker()
    with pytest.raises(errors.NoSuchModel), breaker.guard(), breaker.guard():
        with pytest.raises(errors.BadCredentials), breaker.guard():
            raise DENIED
        refuses(breaker, "HTTP 401")
        raise errors.NoSuchModel("expert-a", "HTTP 404", status=404)
    refuses(breaker, "HTTP 401")


@pytest.mark.parametrize("kind", [errors.ServerFault, errors.RateLimited, errors.ContextTooLong, errors.BadCall])
async def test_other_errors_open_nothing(kind: type[CallError]) -> None:
    breaker = ModelBreaker()
    with pytest.raises(kind), breaker.guard():
        raise kind("expert-a", "no")
    breaker.check()


async def test_a_long_cooldown_ends_when_its_time_is_over() -> None:
    """Nothing was repaired that one call would have to try out: all calls go on, in a job too."""
    clock = Clock()
    breaker = ModelBreaker(math.inf, clock)
    with pytest.raises(errors.LongCooldown), breaker.guard():
        raise errors.LongCooldown("expert-a", "HTTP 429 (the provider asks for 60 minutes)", retry_after=3600.0)
    clock.now = 3000.0
    with pytest.raises(errors.LongCooldown, match=r"not asked: .*the provider asks for 60 minutes") as caught:
        breaker.check()
    assert (caught.value.retry_after, caught.value.attempts) == (600, 0)
    clock.now = 3600.0
    with pytest.raises(errors.ServerFault), breaker.guard(), breaker.guard():
        raise errors.ServerFault("expert-a", "no")
    breaker.check()


async def test_a_cooldown_of_one_model_is_one_refusal_of_its_key(server: FaultServer) -> None:
    """Calls that are not sent say nothing about the key: its other models keep their window."""
    server.reset(fault(429, "Slow down", headers={"Retry-After": "3600"}))
    refused: list[int] = []
    governor = RateGovernor()

    async def report(provider: str, usage: UsageReport) -> Lease:
        refused.append(usage.limited)
        return governor.report(usage)

    model = made(server.base_url, limiters=LimiterRegistry(report), max_concurrency=1)
    ends = await asyncio.gather(*(end(model.complete(CALL)) for _ in range(50)))
    await model.close()
    assert {type(each) for each in ends} == {errors.LongCooldown}
    assert (server.served, max(refused)) == (1, 1)


async def test_it_travels_as_it_is() -> None:
    with pytest.raises(errors.BadCredentials):
        pickle.loads(pickle.dumps(opened())).check()


async def test_its_opening_is_logged_without_the_key(server: FaultServer, caplog: pytest.LogCaptureFixture) -> None:
    server.reset(fault(401, f"Incorrect API key provided: {KEY}"))
    model = made(server.base_url)
    with caplog.at_level(logging.WARNING):
        await end(model.complete(CALL))
        await end(model.complete(CALL))
    await model.close()
    said_once = "model 'expert-a': HTTP 401: Incorrect API key provided: ***"
    assert [record.getMessage().startswith(said_once) for record in caplog.records] == [True]


def refuses(breaker: ModelBreaker, why: str) -> None:
    with pytest.raises(CallError, match=f"not asked: {why}") as caught:
        breaker.check()
    assert caught.value.attempts == 0


async def end(call: Awaitable[Completion]) -> Completion | CallError:
    """How a call ended."""
    try:
        return await call
    except CallError as error:
        return error
