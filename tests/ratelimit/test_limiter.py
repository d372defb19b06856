"""The gate on a real event loop: order, cancellation, what it tells the governor, and life without one."""

import asyncio
import pickle
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.core.call_activity import CallActivity, notify_when_sent
from coe_ray.core.errors import RateLimited, ServerFault
from coe_ray.core.types import Usage
from coe_ray.ratelimit.limiter import CallLimiter, Lease, RateLimits, UsageReport
from coe_ray.ratelimit.limiters import LimiterRegistry, provider_id
from tests.support.virtual_time import run_virtually

PATIENCE_S = 20.0


class Desk:
    """A governor that leases what it is told to, and keeps what it is told."""

    def __init__(self, slots: int = 2, starts: int | None = None) -> None:
        self.lease = Lease(epoch=0, limit=float(slots), slots=slots, starts=starts)
        self.reports: list[UsageReport] = []
        self.broken: Exception | None = None

    async def __call__(self, report: UsageReport) -> Lease:
        self.reports.append(report)
        if self.broken:
            raise self.broken
        return self.lease if report.demand else replace(self.lease, slots=0)

    async def heard(self, count: int) -> UsageReport:
        """The report that has come as the `count`-th."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.reports) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return self.reports[count - 1]


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def gate(desk: Desk) -> CallLimiter:
    return CallLimiter("p", RateLimits(2), desk, CallActivity())


@pytest.fixture
async def nothing_left_behind() -> AsyncIterator[None]:
    yield
    async with asyncio.timeout(PATIENCE_S):
        while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Visit:
    """A call that stays in its slot until it is let go."""

    def __init__(self, gate: CallLimiter, order: list[int], number: int = 0) -> None:
        self.go = asyncio.Event()
        self.task = asyncio.create_task(self._stay(gate, order, number))

    async def _stay(self, gate: CallLimiter, order: list[int], number: int) -> None:
        async with gate.slot():
            order.append(number)
            await self.go.wait()

    async def leave(self) -> None:
        self.go.set()
        await self.task


async def all_wait() -> None:
    """Let every task run as far as it gets."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_first_come_first_served(gate: CallLimiter) -> None:
    order: list[int] = []
    visits = [Visit(gate, order, number) for number in range(6)]
    await all_wait()
    assert order == [0, 1]
    assert (gate.activity.in_flight, gate.activity.waiting) == (2, 4)
    await visits[1].leave()
    await visits[0].leave()
    await all_wait()
    assert order == [0, 1, 2, 3]
    for visit in visits[2:]:
        visit.go.set()
    await asyncio.gather(*(visit.task for visit in visits))
    assert order == [0, 1, 2, 3, 4, 5]
    assert (gate.activity.in_flight, gate.activity.waiting) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["cancel", "leave", "both", "run"])), max_size=40))
def test_no_cancellation_loses_or_invents_a_slot(acts: list[tuple[int, str]]) -> None:
    async def run() -> None:
        gate, order = CallLimiter("p", RateLimits(2), Desk(), CallActivity()), list[int]()
        visits = [Visit(gate, order, number) for number in range(10)]
        for number, act in acts:
            if act in ("cancel", "both"):
                visits[number].task.cancel()
            if act in ("leave", "both"):
                visits[number].go.set()
            if act == "run":
                await all_wait()
            assert gate.activity.in_flight <= 2
        for visit in visits:
            visit.go.set()
        await asyncio.gather(*(visit.task for visit in visits), return_exceptions=True)
        assert (gate.activity.in_flight, gate.activity.waiting) == (0, 0)
        more = [Visit(gate, order, number) for number in range(3)]
        await asyncio.sleep(0.01)
        assert gate.activity.in_flight == 2
        for visit in more:
            await visit.leave()

    run_virtually(run())


async def test_a_turn_that_comes_with_the_cancellation_goes_to_the_next(gate: CallLimiter) -> None:
    order: list[int] = []
    visits = [Visit(gate, order, number) for number in range(4)]
    await all_wait()
    visits[0].go.set()
    await asyncio.sleep(0)  # 0 leaves; 2 has its turn but has not run yet
    visits[2].task.cancel()
    await all_wait()
    assert order == [0, 1, 3]
    for visit in visits:
        visit.go.set()
    await asyncio.gather(*(visit.task for visit in visits), return_exceptions=True)


async def test_a_free_slot_costs_no_turn_of_the_event_loop(gate: CallLimiter) -> None:
    async with gate.slot():
        slot = gate.slot()
        with pytest.raises(StopIteration):
            slot.__aenter__().send(None)
        await slot.__aexit__(None, None, None)


async def test_waiting_is_measured(gate: CallLimiter) -> None:
    visits = [Visit(gate, []) for _ in range(2)]
    await all_wait()
    began = time.monotonic()
    asyncio.get_running_loop().call_later(0.05, visits[0].go.set)
    async with gate.slot() as slot:
        assert 0 < slot.waited_s <= time.monotonic() - began
    async with gate.slot() as slot:
        assert slot.waited_s == 0
    await visits[1].leave()


@pytest.mark.usefixtures("nothing_left_behind")
async def test_tells_what_happened_and_then_that_it_is_over(gate: CallLimiter, desk: Desk) -> None:
    async with gate.slot() as slot:
        slot.used(Usage(30, 12))
    with pytest.raises(ServerFault):
        async with gate.slot():
            raise ServerFault("m", "broken")
    first, last = await desk.heard(1), await desk.heard(2)
    assert (first.in_flight, first.waiting, first.epoch, first.limit) == (0, 1, 0, None)
    assert (last.demand, last.started, last.finished, last.confirmed, last.tokens) == (0, 2, 1, 1, 42)
    assert last.limited == 0
    async with gate.slot():
        assert len(desk.reports) == 3  # given back: it has to be asked for again


async def test_after_a_refusal_nothing_starts_before_the_governor_has_spoken(gate: CallLimiter, desk: Desk) -> None:
    order: list[int] = []
    staying = Visit(gate, order)
    with pytest.raises(RateLimited):
        async with gate.slot():
            next_one = Visit(gate, order, 1)
            await all_wait()
            desk.lease = Lease(epoch=1, limit=2, slots=2)
            raise RateLimited("m", "too many")
    await all_wait()
    assert order == [0]
    report = await desk.heard(2)
    assert (report.limited, report.accepted, report.epoch) == (1, 1, 0)
    await all_wait()
    assert order == [0, 1]
    for visit in (staying, next_one):
        await visit.leave()


async def test_a_refusal_of_an_earlier_epoch_is_not_counted_again(gate: CallLimiter, desk: Desk) -> None:
    with pytest.raises(RateLimited):
        async with gate.slot():
            desk.lease = Lease(epoch=1, limit=2, slots=2)
            await desk.heard(2)
            await asyncio.sleep(0)
            raise RateLimited("m", "too many")
    async with gate.slot():  # it would have to wait for an exchange
        assert len(desk.reports) == 2


async def test_a_lease_may_say_how_many_may_start() -> None:
    desk = Desk(slots=64, starts=3)
    gate, order = CallLimiter("p", RateLimits(), desk, CallActivity()), list[int]()
    visits = [Visit(gate, order, number) for number in range(7)]
    await all_wait()
    assert order == [0, 1, 2]
    await desk.heard(2)
    await all_wait()
    assert order == [0, 1, 2, 3, 4, 5]
    for visit in visits:
        visit.go.set()
    await asyncio.gather(*(visit.task for visit in visits))


@pytest.mark.usefixtures("nothing_left_behind")
async def test_goes_on_without_the_governor_and_says_so_once(
    gate: CallLimiter, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "coe_ray.ratelimit")
    order: list[int] = []
    staying = Visit(gate, order)
    await all_wait()
    desk.broken = ConnectionError("nobody is in")
    await desk.heard(3)
    async with gate.slot():  # the last lease still holds
        pass
    desk.broken = None
    told = await desk.heard(5)
    assert told.finished + desk.reports[3].finished == 1
    await staying.leave()
    said = [record.message for record in caplog.records if "governor" in record.message]
    assert len(said) == 2
    assert "does not answer, its last lease is kept: ConnectionError('nobody is in')" in said[0]
    assert "answers again" in said[1]


def test_halves_its_lease_by_itself_where_it_must() -> None:
    async def run() -> None:
        desk = Desk(slots=8)
        gate = CallLimiter("p", RateLimits(8), desk, CallActivity())
        staying = Visit(gate, [])
        await all_wait()
        desk.broken = ConnectionError("nobody is in")
        for epoch, limit in enumerate((4, 2), start=1):
            with pytest.raises(RateLimited):
                async with gate.slot():
                    raise RateLimited("m", "too many")
            async with gate.slot():  # not before the governor was asked in vain
                report = await desk.heard(len(desk.reports) + 1)
            assert (report.epoch, report.limit) == (epoch, limit)
        await staying.leave()

    run_virtually(run())


def test_an_idle_process_does_not_go_on_asking_for_a_lost_governor() -> None:
    async def run() -> None:
        desk = Desk()
        gate = CallLimiter("p", RateLimits(2), desk, CallActivity())
        with pytest.raises(RateLimited):
            async with gate.slot():
                desk.broken = ConnectionError("nobody is in")
                raise RateLimited("m", "too many")
        await asyncio.sleep(60)
        assert [report.demand for report in desk.reports] == [1, 0]

    run_virtually(run())


async def test_starts_where_there_never_was_a_governor() -> None:
    desk = Desk()
    desk.broken = ConnectionError("nobody is in")
    gate = CallLimiter("p", RateLimits(), desk, CallActivity())
    async with asyncio.timeout(PATIENCE_S), gate.slot():
        assert gate.activity.in_flight == 1


def test_a_governor_that_never_answers_is_waited_for_only_so_long() -> None:
    async def run() -> None:
        async def silent(report: UsageReport) -> Lease:
            await asyncio.sleep(1e6)
            raise AssertionError

        gate = CallLimiter("p", RateLimits(), silent, CallActivity())
        async with asyncio.timeout(60), gate.slot():
            assert gate.activity.in_flight == 1

    run_virtually(run())


def test_serves_one_event_loop_after_the_other() -> None:
    desk = Desk()
    gate = CallLimiter("p", RateLimits(), desk, CallActivity())

    async def call() -> None:
        async with asyncio.timeout(PATIENCE_S), gate.slot():
            pass

    for _ in range(3):
        asyncio.run(call())
    assert len(desk.reports) == 3


async def test_who_listens_hears_that_the_request_leaves(gate: CallLimiter) -> None:
    sent: list[int] = []
    with notify_when_sent(lambda: sent.append(gate.activity.in_flight)):
        async with gate.slot():
            assert sent == [0]


async def test_a_listener_that_fails_costs_no_slot(gate: CallLimiter) -> None:
    def full() -> None:
        raise OSError("disk full")

    for _ in range(5):
        with notify_when_sent(full), pytest.raises(OSError, match="disk full"):
            async with gate.slot():
                raise AssertionError
    async with asyncio.timeout(PATIENCE_S), gate.slot(), gate.slot():
        assert gate.activity.in_flight == 2


@pytest.fixture
def limiters() -> Iterator[LimiterRegistry]:
    yield LimiterRegistry()


def test_one_gate_for_each_address_and_key(limiters: LimiterRegistry) -> None:
    one = limiters.limiter("http://a/v1", "k", RateLimits())
    assert limiters.limiter("http://a/v1/", "k", RateLimits()) is one
    assert limiters.limiter("http://b/v1", "k", RateLimits()) is not one
    assert limiters.limiter("http://a/v1", "l", RateLimits()) is not one
    assert limiters.limiter("http://a/v1", None, RateLimits()) is not one
    assert one.activity is limiters.activity


def test_the_key_does_not_show_in_the_provider_id() -> None:
    assert "sk-secret" not in provider_id("http://a/v1", "sk-secret")
    assert provider_id("http://a/v1", "sk-secret") != provider_id("http://a/v1", "sk-other")


async def test_limits_of_several_models_are_joined() -> None:
    heard: list[RateLimits] = []

    async def governor(provider: str, report: UsageReport) -> Lease:
        heard.append(report.limits)
        return Lease(limit=1, slots=1)

    limiters = LimiterRegistry(governor)
    limiters.limiter("http://a/v1", None, RateLimits(8, 60, None))
    limiters.limiter("http://a/v1", None, RateLimits(32, 600, 1000))
    async with limiters.limiter("http://a/v1", None, RateLimits(16)).slot():
        assert heard == [RateLimits(32, 60, 1000)]


def test_a_gate_travels_before_its_first_call(limiters: LimiterRegistry) -> None:
    gate = pickle.loads(pickle.dumps(limiters.limiter("http://a/v1", "k", RateLimits(3))))

    async def call() -> None:
        async with asyncio.timeout(PATIENCE_S), gate.slot():
            assert gate.activity.in_flight == 1

    asyncio.run(call())


async def test_a_process_has_governors_of_its_own(limiters: LimiterRegistry) -> None:
    gate, order = limiters.limiter("http://a/v1", None, RateLimits(3)), list[int]()
    visits = [Visit(gate, order, number) for number in range(5)]
    await all_wait()
    assert order == [0, 1, 2]
    for visit in visits:
        visit.go.set()
    await asyncio.gather(*(visit.task for visit in visits))
