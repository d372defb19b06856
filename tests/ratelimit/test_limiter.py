"""The limiter of one key: order, cancellation, its reports to the governor, and work without a governor."""

import asyncio
import pickle
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.core.call_activity import CallActivity, notify_when_sent
from coe_ray.core.errors import RateLimited, ServerFault
from coe_ray.core.types import Usage
from coe_ray.ratelimit.governor import Lease, RateLimits, UsageReport
from coe_ray.ratelimit.limiter import CallLimiter, LimiterRegistry, provider_id
from tests.support.virtual_time import run_virtually

PATIENCE_S = 20.0


class FakeGovernor:
    """A governor that always gives the lease it was made with, and records the reports."""

    def __init__(self, slots: int = 2, starts: int | None = None) -> None:
        self.lease = Lease(epoch=0, limit=float(slots), slots=slots, starts=starts)
        self.reports: list[UsageReport] = []
        self.broken: Exception | None = None

    async def __call__(self, report: UsageReport) -> Lease:
        self.reports.append(report)
        if self.broken:
            raise self.broken
        return self.lease if report.demand else replace(self.lease, slots=0)

    async def wait_for_report(self, count: int) -> UsageReport:
        """The `count`-th report, when it has come."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.reports) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return self.reports[count - 1]


@pytest.fixture
def governor() -> FakeGovernor:
    return FakeGovernor()


@pytest.fixture
def limiter(governor: FakeGovernor) -> CallLimiter:
    return CallLimiter("p", RateLimits(2), governor, CallActivity())


@pytest.fixture
async def no_task_left() -> AsyncIterator[None]:
    yield
    async with asyncio.timeout(PATIENCE_S):
        while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class HeldCall:
    """A call that keeps its slot until `leave`."""

    def __init__(self, limiter: CallLimiter, started: list[int], number: int = 0) -> None:
        self.go = asyncio.Event()
        self.task = asyncio.create_task(self._stay(limiter, started, number))

    async def _stay(self, limiter: CallLimiter, started: list[int], number: int) -> None:
        async with limiter.slot():
            started.append(number)
            await self.go.wait()

    async def leave(self) -> None:
        self.go.set()
        await self.task


async def run_until_all_wait() -> None:
    """Let every task run until it waits."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_first_come_first_served(limiter: CallLimiter) -> None:
    started: list[int] = []
    calls = [HeldCall(limiter, started, number) for number in range(6)]
    await run_until_all_wait()
    assert started == [0, 1]
    assert (limiter.activity.in_flight, limiter.activity.waiting) == (2, 4)
    await calls[1].leave()
    await calls[0].leave()
    await run_until_all_wait()
    assert started == [0, 1, 2, 3]
    for call in calls[2:]:
        call.go.set()
    await asyncio.gather(*(call.task for call in calls))
    assert started == [0, 1, 2, 3, 4, 5]
    assert (limiter.activity.in_flight, limiter.activity.waiting) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["cancel", "leave", "both", "run"])), max_size=40))
def test_no_cancellation_loses_or_invents_a_slot(acts: list[tuple[int, str]]) -> None:
    async def run() -> None:
        limiter, started = CallLimiter("p", RateLimits(2), FakeGovernor(), CallActivity()), list[int]()
        calls = [HeldCall(limiter, started, number) for number in range(10)]
        for number, act in acts:
            if act in ("cancel", "both"):
                calls[number].task.cancel()
            if act in ("leave", "both"):
                calls[number].go.set()
            if act == "run":
                await run_until_all_wait()
            assert limiter.activity.in_flight <= 2
        for call in calls:
            call.go.set()
        await asyncio.gather(*(call.task for call in calls), return_exceptions=True)
        assert (limiter.activity.in_flight, limiter.activity.waiting) == (0, 0)
        more = [HeldCall(limiter, started, number) for number in range(3)]
        await asyncio.sleep(0.01)
        assert limiter.activity.in_flight == 2
        for call in more:
            await call.leave()

    run_virtually(run())


async def test_a_turn_given_to_a_cancelled_call_goes_to_the_next(limiter: CallLimiter) -> None:
    started: list[int] = []
    calls = [HeldCall(limiter, started, number) for number in range(4)]
    await run_until_all_wait()
    calls[0].go.set()
    await asyncio.sleep(0)  # 0 leaves; 2 has its turn but has not run yet
    calls[2].task.cancel()
    await run_until_all_wait()
    assert started == [0, 1, 3]
    for call in calls:
        call.go.set()
    await asyncio.gather(*(call.task for call in calls), return_exceptions=True)


async def test_a_free_slot_costs_no_turn_of_the_event_loop(limiter: CallLimiter) -> None:
    async with limiter.slot():
        slot = limiter.slot()
        with pytest.raises(StopIteration):
            slot.__aenter__().send(None)
        await slot.__aexit__(None, None, None)


def test_waiting_is_measured() -> None:
    async def run() -> None:
        limiter = CallLimiter("p", RateLimits(2), FakeGovernor(), CallActivity())
        calls = [HeldCall(limiter, []) for _ in range(2)]
        await run_until_all_wait()
        asyncio.get_running_loop().call_later(0.05, calls[0].go.set)
        async with limiter.slot() as slot:
            assert slot.waited_s == pytest.approx(0.05)
        async with limiter.slot() as slot:
            assert slot.waited_s == 0
        await calls[1].leave()

    run_virtually(run())


@pytest.mark.usefixtures("no_task_left")
async def test_reports_the_calls_and_then_that_it_is_idle(limiter: CallLimiter, governor: FakeGovernor) -> None:
    async with limiter.slot() as slot:
        slot.used(Usage(30, 12))
    with pytest.raises(ServerFault):
        async with limiter.slot():
            raise ServerFault("m", "broken")
    first, last = await governor.wait_for_report(1), await governor.wait_for_report(2)
    assert (first.in_flight, first.waiting, first.epoch, first.limit) == (0, 1, 0, None)
    assert (last.demand, last.started, last.finished, last.confirmed, last.tokens) == (0, 2, 1, 1, 42)
    assert last.limited == 0
    async with limiter.slot():
        assert len(governor.reports) == 3  # the idle lease was given back, so there is a new exchange


async def test_after_a_refusal_nothing_starts_before_the_governors_next_lease(
    limiter: CallLimiter, governor: FakeGovernor
) -> None:
    started: list[int] = []
    held = HeldCall(limiter, started)
    with pytest.raises(RateLimited):
        async with limiter.slot():
            waiting = HeldCall(limiter, started, 1)
            await run_until_all_wait()
            governor.lease = Lease(epoch=1, limit=2, slots=2)
            raise RateLimited("m", "too many")
    await run_until_all_wait()
    assert started == [0]
    report = await governor.wait_for_report(2)
    assert (report.limited, report.accepted, report.epoch) == (1, 1, 0)
    await run_until_all_wait()
    assert started == [0, 1]
    for call in (held, waiting):
        await call.leave()


async def test_a_refusal_of_an_earlier_epoch_is_not_counted_again(limiter: CallLimiter, governor: FakeGovernor) -> None:
    with pytest.raises(RateLimited):
        async with limiter.slot():
            governor.lease = Lease(epoch=1, limit=2, slots=2)
            await governor.wait_for_report(2)
            await asyncio.sleep(0)
            raise RateLimited("m", "too many")
    async with limiter.slot():  # it would have to wait for an exchange
        assert len(governor.reports) == 2


async def test_a_lease_may_limit_how_many_calls_start() -> None:
    governor = FakeGovernor(slots=64, starts=3)
    limiter, started = CallLimiter("p", RateLimits(), governor, CallActivity()), list[int]()
    calls = [HeldCall(limiter, started, number) for number in range(7)]
    await run_until_all_wait()
    assert started == [0, 1, 2]
    await governor.wait_for_report(2)
    await run_until_all_wait()
    assert started == [0, 1, 2, 3, 4, 5]
    for call in calls:
        call.go.set()
    await asyncio.gather(*(call.task for call in calls))


@pytest.mark.usefixtures("no_task_left")
async def test_goes_on_without_the_governor_and_warns_once(
    limiter: CallLimiter, governor: FakeGovernor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "coe_ray.ratelimit")
    started: list[int] = []
    held = HeldCall(limiter, started)
    await run_until_all_wait()
    governor.broken = ConnectionError("unreachable")
    await governor.wait_for_report(3)
    async with limiter.slot():  # the last lease still holds
        pass
    governor.broken = None
    report = await governor.wait_for_report(5)
    assert report.finished + governor.reports[3].finished == 1
    await held.leave()
    messages = [record.message for record in caplog.records if "governor" in record.message]
    assert len(messages) == 2
    assert "does not answer, its last lease is kept: ConnectionError('unreachable')" in messages[0]
    assert "answers again" in messages[1]


def test_halves_its_lease_by_itself_without_a_governor() -> None:
    async def run() -> None:
        governor = FakeGovernor(slots=8)
        limiter = CallLimiter("p", RateLimits(8), governor, CallActivity())
        held = HeldCall(limiter, [])
        await run_until_all_wait()
        governor.broken = ConnectionError("unreachable")
        for epoch, limit in enumerate((4, 2), start=1):
            with pytest.raises(RateLimited):
                async with limiter.slot():
                    raise RateLimited("m", "too many")
            async with limiter.slot():  # starts only after a failed exchange
                report = await governor.wait_for_report(len(governor.reports) + 1)
            assert (report.epoch, report.limit) == (epoch, limit)
        await held.leave()

    run_virtually(run())


def test_an_idle_process_does_not_go_on_asking_for_a_lost_governor() -> None:
    async def run() -> None:
        governor = FakeGovernor()
        limiter = CallLimiter("p", RateLimits(2), governor, CallActivity())
        with pytest.raises(RateLimited):
            async with limiter.slot():
                governor.broken = ConnectionError("unreachable")
                raise RateLimited("m", "too many")
        await asyncio.sleep(60)
        assert [report.demand for report in governor.reports] == [1, 0]

    run_virtually(run())


async def test_starts_without_any_governor() -> None:
    governor = FakeGovernor()
    governor.broken = ConnectionError("unreachable")
    limiter = CallLimiter("p", RateLimits(), governor, CallActivity())
    async with asyncio.timeout(PATIENCE_S), limiter.slot():
        assert limiter.activity.in_flight == 1


def test_a_governor_that_never_answers_is_waited_for_only_so_long() -> None:
    async def run() -> None:
        async def silent(report: UsageReport) -> Lease:
            await asyncio.sleep(1e6)
            raise AssertionError

        limiter = CallLimiter("p", RateLimits(), silent, CallActivity())
        async with asyncio.timeout(60), limiter.slot():
            assert limiter.activity.in_flight == 1

    run_virtually(run())


def test_serves_one_event_loop_after_the_other() -> None:
    governor = FakeGovernor()
    limiter = CallLimiter("p", RateLimits(), governor, CallActivity())

    async def call() -> None:
        async with asyncio.timeout(PATIENCE_S), limiter.slot():
            pass

    for _ in range(3):
        asyncio.run(call())
    assert len(governor.reports) == 3


async def test_a_listener_is_called_when_the_request_leaves(limiter: CallLimiter) -> None:
    sent: list[int] = []
    with notify_when_sent(lambda: sent.append(limiter.activity.in_flight)):
        async with limiter.slot():
            assert sent == [0]


async def test_a_listener_that_fails_costs_no_slot(limiter: CallLimiter) -> None:
    def full() -> None:
        raise OSError("disk full")

    for _ in range(5):
        with notify_when_sent(full), pytest.raises(OSError, match="disk full"):
            async with limiter.slot():
                raise AssertionError
    async with asyncio.timeout(PATIENCE_S), limiter.slot(), limiter.slot():
        assert limiter.activity.in_flight == 2


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
