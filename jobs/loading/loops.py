"""The two ways to load an endpoint.

Closed: so many clients, each asks anew when it has its answer. Says how much goes through; a server that stalls is
asked less meanwhile, which flatters its latencies.

Open: questions come when they come (Poisson, seeded), whatever the server does. Latency counts from when a question was
*due*: one that had to wait for its turn waited all the same (what leaves it out is called coordinated omission).
"""

import asyncio
import random
from collections.abc import Iterator
from time import monotonic, process_time

from jobs.loading.asking import Asker
from jobs.loading.requests import Load, Request, Target

REST_S = 0.05
"""What a client of the closed loop waits after an error: a server that is down would be asked thousands of times."""


async def closed_loop(
    target: Target, questions: Iterator[str], *, clients: int, seconds: float, warm_up_s: float = 0.0
) -> Load:
    """Ask with `clients` at once. What is in flight when the time is over is waited for, and counts."""
    requests: list[Request] = []
    async with Asker.opened(target) as asker:
        measured = _Measured(monotonic() + warm_up_s)

        async def client() -> None:
            while (now := monotonic()) < measured.origin + seconds:
                requests.append(request := await asker.ask(next(questions), now, measured.origin))
                if not request.ok:
                    await asyncio.sleep(REST_S)

        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(client())
    return measured.load(requests)


async def open_loop(
    target: Target, questions: Iterator[str], *, rate: float, seconds: float, seed: int = 0, warm_up_s: float = 0.0
) -> Load:
    """Ask `rate` times a second, on average, at times that the seed decides; every question is waited for."""
    requests: list[Request] = []
    async with Asker.opened(target) as asker:
        measured = _Measured(monotonic() + warm_up_s)

        async def arrival(due: float) -> None:
            requests.append(await asker.ask(next(questions), due, measured.origin))

        async with asyncio.TaskGroup() as group:
            for due in _arrivals(rate, seed, measured.origin - warm_up_s, measured.origin + seconds):
                await asyncio.sleep(max(0.0, due - monotonic()))
                group.create_task(arrival(due))
    return measured.load(requests)


def _arrivals(rate: float, seed: int, begin: float, end: float) -> Iterator[float]:
    """The times of a Poisson process."""
    chance = random.Random(seed)  # noqa: S311  # no secret is made of it
    due = begin + chance.expovariate(rate)
    while due < end:
        yield due
        due += chance.expovariate(rate)


class _Measured:
    """What the measurement takes, warm-up included as far as the processor goes. `origin` is `monotonic`'s time."""

    def __init__(self, origin: float) -> None:
        self.origin = origin
        self._began, self._worked = monotonic(), process_time()

    def load(self, requests: list[Request]) -> Load:
        share = (process_time() - self._worked) / max(monotonic() - self._began, 1e-9)
        due = tuple(request for request in requests if request.start >= 0)
        last = max((request.start + request.seconds for request in due), default=0.0)
        return Load(due, last, (share,))
