"""The two ways to load an endpoint.

Closed loop: a number of clients, each sending its next request when it has an answer. Measures throughput; a server
that stalls gets fewer requests meanwhile, which makes its latencies look better than they are.

Open loop: requests arrive at their own times (Poisson, seeded), whatever the server does. Latency counts from when a
request was *due*, so that time spent waiting to be sent is in it (leaving it out is called coordinated omission).
"""

import asyncio
import random
from collections.abc import Iterator
from time import monotonic, process_time

from jobs.loading.client import EndpointClient
from jobs.loading.results import LoadResult, RequestResult, Target

REST_S = 0.05
"""Pause of a closed-loop client after an error: a server that is down would get thousands of requests."""


async def closed_loop(
    target: Target, questions: Iterator[str], *, clients: int, seconds: float, warm_up_s: float = 0.0
) -> LoadResult:
    """Send from `clients` at once. Requests in flight when the time is over are waited for, and count."""
    requests: list[RequestResult] = []
    async with EndpointClient.open(target) as connection:
        measurement = _Measurement(monotonic() + warm_up_s)

        async def client() -> None:
            while (now := monotonic()) < measurement.origin + seconds:
                requests.append(request := await connection.send(next(questions), now, measurement.origin))
                if not request.ok:
                    await asyncio.sleep(REST_S)

        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(client())
    return measurement.load(requests)


async def open_loop(
    target: Target, questions: Iterator[str], *, rate: float, seconds: float, seed: int = 0, warm_up_s: float = 0.0
) -> LoadResult:
    """Send `rate` requests a second, on average, at times that the seed decides; every answer is waited for."""
    requests: list[RequestResult] = []
    async with EndpointClient.open(target) as connection:
        measurement = _Measurement(monotonic() + warm_up_s)

        async def arrival(due: float) -> None:
            requests.append(await connection.send(next(questions), due, measurement.origin))

        async with asyncio.TaskGroup() as group:
            for due in _arrivals(rate, seed, measurement.origin - warm_up_s, measurement.origin + seconds):
                await asyncio.sleep(max(0.0, due - monotonic()))
                group.create_task(arrival(due))
    return measurement.load(requests)


def _arrivals(rate: float, seed: int, begin: float, end: float) -> Iterator[float]:
    """The times of a Poisson process."""
    chance = random.Random(seed)  # noqa: S311  # no secret is made of it
    due = begin + chance.expovariate(rate)
    while due < end:
        yield due
        due += chance.expovariate(rate)


class _Measurement:
    """Begin of a measurement (`origin`, `monotonic`'s time) and the processor time used since, warm-up included."""

    def __init__(self, origin: float) -> None:
        self.origin = origin
        self._began, self._worked = monotonic(), process_time()

    def load(self, requests: list[RequestResult]) -> LoadResult:
        share = (process_time() - self._worked) / max(monotonic() - self._began, 1e-9)
        due = tuple(request for request in requests if request.start >= 0)
        last = max((request.start + request.seconds for request in due), default=0.0)
        return LoadResult(due, last, (share,))
