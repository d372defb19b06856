"""The governor as its clients see it: alone, with a clock of its own, and with real limiters in virtual time."""

import asyncio
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.core.errors import RateLimited
from coe_ray.ratelimit.governor import FORGOTTEN_S, LIVE_S, Lease, RateGovernor, RateLimits, UsageReport
from tests.support.provider import Client, Provider, RemoteGovernor, ask, now
from tests.support.virtual_time import run_virtually

NAMES = ("a", "b", "c", "d")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def governor(clock: Clock) -> RateGovernor:
    return RateGovernor(clock)


def busy(client: str, **what: object) -> UsageReport:
    """Report of a client that wants more slots than there are."""
    return UsageReport(client, **{"limits": RateLimits(20), "waiting": 100, **what})  # type: ignore[arg-type]


def test_starts_with_what_the_user_allows(governor: RateGovernor) -> None:
    assert governor.report(busy("a")) == Lease(epoch=0, limit=20, slots=20, starts=None)


def test_a_burst_is_cut_once_to_what_was_accepted(governor: RateGovernor) -> None:
    governor.report(busy("a"))
    assert governor.report(busy("a", in_flight=7, limited=13, accepted=7)) == Lease(epoch=1, limit=7, slots=7)
    stale = governor.report(busy("a", in_flight=7, limited=5, accepted=7))
    assert (stale.epoch, stale.limit) == (1, 7)


def test_refusals_without_an_answer_between_go_down_faster_and_then_pause(governor: RateGovernor) -> None:
    epochs = range(5)
    leases = [governor.report(busy("a", epoch=epoch, limited=1, accepted=20)) for epoch in epochs]
    assert [round(lease.limit or 0, 1) for lease in leases] == [19, 15.4, 10.1, 5, 2.5]
    assert [lease.slots for lease in leases] == [19, 15, 10, 0, 0]


def test_never_less_than_one_call_at_a_time(governor: RateGovernor, clock: Clock) -> None:
    for epoch in range(20):
        governor.report(busy("a", epoch=epoch, limited=20))
    for _ in range(40):
        clock.now += 0.25
        lease = governor.report(busy("a", epoch=20))
    assert lease.slots == 1


def test_a_slot_is_not_given_away_while_another_may_use_it(governor: RateGovernor) -> None:
    governor.report(busy("a"))
    assert governor.report(busy("b")).slots == 0
    assert governor.report(busy("a", in_flight=20)).slots == 10
    assert governor.report(busy("b")).slots == 0
    assert governor.report(busy("a", in_flight=10)).slots == 10
    assert governor.report(busy("b")).slots == 10


def test_a_new_client_gets_a_free_slot_at_once(governor: RateGovernor) -> None:
    """A rare question, answered by either of two processes, must not wait for an exchange of the other."""
    assert governor.report(UsageReport("a", RateLimits(20), waiting=1)).slots == 10
    assert governor.report(UsageReport("b", RateLimits(20), waiting=1)).slots >= 1


def test_an_idle_clients_slots_go_to_the_others(governor: RateGovernor) -> None:
    governor.report(busy("a"))
    assert governor.report(UsageReport("a", RateLimits(20))).slots == 0
    assert governor.report(busy("b")).slots == 20


def test_a_silent_client_is_forgotten(governor: RateGovernor, clock: Clock) -> None:
    governor.report(busy("a", in_flight=20))
    clock.now += FORGOTTEN_S + 0.1
    assert governor.report(busy("b")).slots == 20


def live(**what: object) -> UsageReport:
    return busy("live", is_live=True, **what)


def test_live_requests_have_what_they_want_before_jobs(governor: RateGovernor) -> None:
    assert governor.report(busy("job")).slots == 20
    assert governor.report(live(waiting=5)).slots == 0
    assert governor.report(busy("job", in_flight=20)).slots == 15
    assert governor.report(busy("job", in_flight=12)).slots == 15
    assert governor.report(live(waiting=5)).slots == 5
    assert governor.report(live(waiting=100)).slots == 5
    assert governor.report(busy("job")).slots == 0
    assert governor.report(live(waiting=100)).slots == 20


def test_the_next_live_request_finds_a_slot_that_no_job_has(governor: RateGovernor, clock: Clock) -> None:
    governor.report(live(waiting=1))
    governor.report(live(waiting=0))
    assert governor.report(busy("job")).slots == 17
    clock.now += LIVE_S / 2
    governor.report(busy("job"))
    assert governor.report(live(waiting=1)).slots >= 1
    clock.now += LIVE_S
    assert governor.report(busy("job")).slots == 20


def test_the_only_slot_is_kept_for_nobody_but_goes_to_a_live_request_first(governor: RateGovernor) -> None:
    one = RateLimits(1)
    assert governor.report(live(limits=one, waiting=1)).slots == 1
    assert governor.report(busy("job", limits=one)).slots == 0
    governor.report(live(limits=one, waiting=0))
    assert governor.report(busy("job", limits=one)).slots == 1


def test_starts_of_a_rate_go_to_live_requests_first(governor: RateGovernor, clock: Clock) -> None:
    limits = RateLimits(64, requests_per_minute=60)
    assert governor.report(busy("job", limits=limits)).starts == 1
    governor.report(live(limits=limits, waiting=3))
    for _ in range(3):
        clock.now += 1
        assert governor.report(busy("job", limits=limits, started=0, in_flight=1)).starts == 1
    assert governor.report(live(limits=limits, waiting=3)).starts == 3


@pytest.mark.parametrize("max_concurrency", [4, 64])
def test_a_live_question_during_a_bench_takes_no_more_than_twice_its_time(max_concurrency: int) -> None:
    """Two calls of 2 s, beside two workers of a bench that would fill the window many times."""

    async def run() -> None:
        provider, governor, limits = (
            Provider(limit=64, length_s=lambda: 2.0),
            RemoteGovernor(),
            RateLimits(max_concurrency),
        )
        bench = [Client(name, governor.limiter(limits), provider, 200) for name in NAMES[:2]]
        limiter = governor.limiter(limits, is_live=True)
        await asyncio.sleep(30)
        for pause_s in (0.0, 7.3, 60.0):
            await asyncio.sleep(pause_s)
            began = now()
            for _ in range(2):
                await ask(limiter, provider, "live", random.Random(1))
            assert now() - began <= 8
        assert await provider.share_used(20) * provider.limit >= 0.7 * max_concurrency
        await asyncio.gather(*(client.stop() for client in bench))

    run_virtually(run())


def test_limits_of_several_clients_are_joined(governor: RateGovernor) -> None:
    governor.report(busy("a", limits=RateLimits(8, requests_per_minute=600)))
    lease = governor.report(busy("b", limits=RateLimits(32, requests_per_minute=1200)))
    assert lease.limit == 32
    assert lease.starts is not None


def test_after_a_restart_it_goes_on_from_the_clients_reports(governor: RateGovernor) -> None:
    assert governor.report(busy("a", epoch=4, limit=6.0, in_flight=3)).limit == 6
    assert governor.report(busy("b", epoch=4, limit=6.0, in_flight=3)).limit == 6
    assert governor.report(busy("a", epoch=4, limit=6.0, in_flight=3)).slots == 3
    assert governor.report(busy("a", epoch=4, limit=6.0, in_flight=3, limited=1, accepted=2)).epoch == 5


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 9), st.integers(0, 9), st.booleans()), max_size=80),
    st.integers(1, 12),
)
def test_leases_never_add_up_to_more_than_the_limit(
    reports: list[tuple[str, int, int, bool]], max_concurrency: int
) -> None:
    """Whatever clients report, as long as they keep to their leases."""
    clock = Clock()
    governor, slots, epochs = RateGovernor(clock), dict.fromkeys(NAMES, 0), dict.fromkeys(NAMES, 0)
    for client, wished, waiting, refused in reports:
        clock.now += 0.1
        flying = min(wished, slots[client])
        lease = governor.report(
            UsageReport(
                client,
                RateLimits(max_concurrency),
                epochs[client],
                None,
                flying,
                waiting,
                limited=int(refused and flying > 0),
            )
        )
        slots[client], epochs[client] = max(lease.slots, flying), lease.epoch
        assert lease.slots <= max_concurrency
        assert lease.slots == 0 or lease.limit is not None
        assert sum(slots.values()) <= max_concurrency


@given(st.integers(1, 12), st.integers(1, 5))
def test_every_client_gets_a_turn_with_fewer_slots_than_clients(clients: int, max_concurrency: int) -> None:
    clock = Clock()
    governor, turns = RateGovernor(clock), dict.fromkeys(range(clients), 0)
    for _ in range(40):
        for client in turns:
            clock.now += 0.25 / clients
            lease = governor.report(UsageReport(str(client), RateLimits(max_concurrency), waiting=3))
            turns[client] += lease.slots
    assert min(turns.values()) > 0


@pytest.mark.parametrize("size", [4, 64])
def test_one_refusal_costs_one_slot_which_comes_back(governor: RateGovernor, clock: Clock, size: int) -> None:
    limits = RateLimits(size)
    governor.report(busy("a", limits=limits, in_flight=1))
    assert governor.report(busy("a", limits=limits, limited=1)).limit == size - 1
    clock.now += 10
    assert governor.report(busy("a", limits=limits, epoch=1)).limit == size


def test_all_refusals_of_a_question_that_is_tried_again_leave_most_of_the_window(governor: RateGovernor) -> None:
    limits = RateLimits(64)
    leases = [governor.report(busy("a", limits=limits, epoch=epoch, limited=1)) for epoch in range(10)]
    assert leases[-1].slots == 54


@pytest.mark.parametrize(("in_flight", "refused", "left"), [(64, 6, 58), (64, 30, 34), (64, 64, 32), (40, 40, 32)])
def test_a_burst_is_cut_to_what_was_accepted_and_by_half_where_that_is_unknown(
    governor: RateGovernor, in_flight: int, refused: int, left: int
) -> None:
    report = busy("a", limits=RateLimits(64), limited=refused, accepted=in_flight - refused)
    assert governor.report(report).limit == left


@pytest.mark.parametrize("traffic", [None, 1])
def test_a_window_without_full_use_is_back_within_ten_seconds(
    governor: RateGovernor, clock: Clock, traffic: int | None
) -> None:
    """Also after a burst that showed a far smaller limit, and with no report in between."""
    limits = RateLimits(64)
    assert governor.report(busy("a", limits=limits, limited=60, accepted=4, in_flight=4)).slots == 4
    if traffic:
        for _ in range(38):
            clock.now += 0.25
            governor.report(UsageReport("a", limits, epoch=1, in_flight=traffic, finished=1))
    else:
        governor.report(UsageReport("a", limits, epoch=1, finished=4))
        clock.now += 9.5
    assert governor.report(busy("a", limits=limits, epoch=1)).slots == 64


def test_answers_of_a_slow_model_are_given_at_once_after_one_refusal() -> None:
    """The public case: after a single 429, four answers of 8 s that are asked for at once took 32 s."""

    async def run() -> None:
        provider = Provider(length_s=lambda: 8.0)
        limiter = RemoteGovernor().limiter(RateLimits(64))

        async def four_answers() -> float:
            began = now()
            await asyncio.gather(*(ask(limiter, provider, "a", random.Random(1)) for _ in range(4)))
            return now() - began

        await four_answers()
        provider.limit = 0
        with pytest.raises(RateLimited):
            async with limiter.slot():
                await provider.answer("a")
        provider.limit = 4
        assert await four_answers() < 8.1

    run_virtually(run())


LENGTHS: dict[str, Callable[[random.Random], float]] = {
    "always 0.2 s": lambda _: 0.2,
    "0.2 s in the mean": lambda chance: chance.expovariate(5),
}


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("refusal_s", [0.002, 0.15])
@pytest.mark.parametrize("clients", [1, 2, 4])
@pytest.mark.parametrize("max_concurrency", [32, 64, 256])
def test_finds_a_hidden_limit_that_drops_and_comes_back(
    max_concurrency: int, clients: int, refusal_s: float, length: str
) -> None:
    async def run() -> None:
        chance = random.Random(7)
        provider = Provider(refusal_s=refusal_s, length_s=lambda: LENGTHS[length](chance))
        remote = RemoteGovernor()
        made = [
            Client(name, remote.limiter(RateLimits(max_concurrency)), provider, max_concurrency)
            for name in NAMES[:clients]
        ]
        for provider.limit in (20, 5, 20):
            await asyncio.sleep(20)
            assert await provider.share_used(10) >= 0.85
        assert provider.share_refused <= 0.05
        fair = sum(provider.by_client.values()) / clients
        assert all(0.7 * fair <= calls <= 1.3 * fair for calls in provider.by_client.values())
        await asyncio.gather(*(client.stop() for client in made))

    run_virtually(run())


def test_a_provider_that_refuses_a_few_at_random_is_not_cut_down_to_nothing() -> None:
    async def run() -> None:
        provider, remote = Provider(limit=32, length_s=lambda: 1.0, stray=0.04), RemoteGovernor()
        client = Client("a", remote.limiter(RateLimits(32)), provider, 64)
        await asyncio.sleep(120)
        assert await provider.share_used(30) >= 0.5
        await client.stop()

    run_virtually(run())


def test_restarts_keep_the_limit() -> None:
    async def run() -> None:
        provider, remote = Provider(limit=20), RemoteGovernor()
        client = Client("a", remote.limiter(RateLimits(256)), provider, 300)
        await asyncio.sleep(10)
        before = len(provider.refused)
        for _ in range(5):
            remote.reachable = False
            await asyncio.sleep(1.5)
            remote.restart()
            remote.reachable = True
            await asyncio.sleep(5)
        assert len(provider.refused) - before <= 0.02 * len(provider.answered)
        assert await provider.share_used(10) >= 0.85
        await client.stop()

    run_virtually(run())


@pytest.mark.parametrize("clients", [1, 3])
@pytest.mark.parametrize(
    ("limits", "tokens", "a_minute"),
    [
        (RateLimits(64, requests_per_minute=60), 0, 60),
        (RateLimits(64, requests_per_minute=1200), 0, 1200),
        (RateLimits(64, tokens_per_minute=120_000), 100, 1200),
        (RateLimits(64, tokens_per_minute=120_000), 3000, 40),
        (RateLimits(64, requests_per_minute=600, tokens_per_minute=120_000), 1200, 100),
    ],
)
def test_limits_per_minute_are_kept_used_and_shared(
    limits: RateLimits, tokens: int, a_minute: int, clients: int
) -> None:
    async def run() -> None:
        provider, remote = Provider(), RemoteGovernor()
        made = [Client(name, remote.limiter(limits), provider, 30, tokens) for name in NAMES[:clients]]
        await asyncio.sleep(120)
        calls = provider.by_client.values()
        assert 0.9 * 2 * a_minute <= sum(calls) <= 1.02 * 2 * a_minute + 2
        assert max(calls) - min(calls) <= 0.1 * sum(calls)
        await asyncio.gather(*(client.stop() for client in made))

    run_virtually(run())


@pytest.mark.parametrize("long_s", [0.2, 3.0, 20.0])
def test_long_answers_among_short_ones_are_no_queue(long_s: float) -> None:
    async def run() -> None:
        chance = random.Random(3)
        provider, remote = Provider(length_s=lambda: chance.choice([0.2, 0.2, long_s])), RemoteGovernor()
        client = Client("a", remote.limiter(RateLimits(64)), provider, 100)
        await asyncio.sleep(60)
        assert remote.leases[-1].epoch == 0
        assert max(lease.slots for lease in remote.leases[-100:]) == 64
        await client.stop()

    run_virtually(run())
