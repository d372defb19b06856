"""A provider in virtual time, and clients that send it calls through their limiters until they are stopped."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from coe_ray.core.call_activity import CallActivity
from coe_ray.core.errors import RateLimited
from coe_ray.core.types import Usage
from coe_ray.ratelimit.governor import Lease, RateGovernor, RateLimits, UsageReport
from coe_ray.ratelimit.limiter import CallLimiter


def now() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class Provider:
    """Refuses calls above `limit` after `refusal_s`, and a random `stray` share of all calls.

    `servers` calls are worked on at a time; the others queue.
    """

    limit: float = float("inf")
    servers: int = 100_000
    length_s: Callable[[], float] = lambda: 0.2
    refusal_s: float = 0.002
    stray: float = 0.0
    in_flight: int = 0
    refused: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    used: float = 0.0
    most: int = 0
    by_client: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._servers = asyncio.Semaphore(self.servers)
        self._changed = 0.0
        self._chance = random.Random(3)

    async def answer(self, client: str) -> None:
        if self.in_flight >= self.limit or self._chance.random() < self.stray:
            self.refused.append(now())
            await asyncio.sleep(self.refusal_s)
            raise RateLimited("m", "too many")
        self._count(1)
        try:
            async with self._servers:
                await asyncio.sleep(self.length_s())
        finally:
            self._count(-1)
        self.answered.append(now())
        self.by_client[client] += 1

    def _count(self, change: int) -> None:
        self.used += self.in_flight * (now() - self._changed)
        self._changed = now()
        self.in_flight += change
        self.most = max(self.most, self.in_flight)

    async def share_used(self, seconds: float) -> float:
        """Mean calls in flight over the limit, in the `seconds` to come."""
        self._count(0)
        before = self.used
        await asyncio.sleep(seconds)
        self._count(0)
        return (self.used - before) / seconds / self.limit

    @property
    def share_refused(self) -> float:
        return len(self.refused) / max(len(self.refused) + len(self.answered), 1)


async def ask(limiter: CallLimiter, provider: Provider, client: str, patience: random.Random, tokens: int = 0) -> None:
    """One call, tried until it is answered, with the waits of the retry policy between."""
    for attempt in range(1000):
        try:
            async with limiter.slot() as slot:
                await provider.answer(client)
                slot.used(Usage(tokens))
                return
        except RateLimited:
            await asyncio.sleep(patience.uniform(0, min(0.5 * 2**attempt, 30)))
    raise AssertionError("never answered")


class Client:
    """Keeps `callers` callers busy until `stop`."""

    def __init__(self, name: str, limiter: CallLimiter, provider: Provider, callers: int, tokens: int = 0) -> None:
        self._patience = random.Random(name)
        self._tasks = [
            asyncio.create_task(self._ask_on(name, limiter, provider, tokens), name=f"{name}-{number}")
            for number in range(callers)
        ]

    async def _ask_on(self, name: str, limiter: CallLimiter, provider: Provider, tokens: int) -> None:
        while True:
            await ask(limiter, provider, name, self._patience, tokens)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class RemoteGovernor:
    """The governor as clients reach it: exchanges take time, it may be unreachable, and a restart loses its state."""

    def __init__(self) -> None:
        self.reachable = True
        self.exchanges = 0
        self.leases: list[Lease] = []
        self.restart()

    def restart(self) -> None:
        self.governor = RateGovernor(asyncio.get_running_loop().time)

    async def report(self, report: UsageReport) -> Lease:
        self.exchanges += 1
        await asyncio.sleep(0.002)
        if not self.reachable:
            raise ConnectionError("unreachable")
        self.leases.append(self.governor.report(report))
        return self.leases[-1]

    def limiter(self, limits: RateLimits, *, is_live: bool = False) -> CallLimiter:
        return CallLimiter("p", limits, self.report, CallActivity(), is_live=is_live)
