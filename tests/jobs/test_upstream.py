"""The endpoint of a fixed latency that others are measured with: what it answers, fails and counts."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import pytest

from coe_ray.core.errors import ServerFault
from coe_ray.core.types import Call, Message
from coe_ray.llm.http import HttpModel
from coe_ray.llm.retry import RetryPolicy
from coe_ray.ratelimit.governor import RateLimits
from coe_ray.ratelimit.limiter import LimiterRegistry

CALL = Call((Message("user", "Which?"),))
CALLS = 40


@contextmanager
def upstream(*options: str) -> Iterator[str]:
    command = [sys.executable, "-m", "jobs.upstream", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.kill()


async def call_upstream(url: str, at_once: int, retry: RetryPolicy) -> tuple[list[str], dict[str, float]]:
    """Outcomes of `CALLS` calls, and the counts of the endpoint."""
    limiter = LimiterRegistry().limiter(url, None, RateLimits(at_once))
    model = HttpModel(name="fixed", model="fixed", base_url=f"{url}/v1", limiter=limiter, retry=retry)
    outcomes = await asyncio.gather(*(model.complete(CALL) for _ in range(CALLS)), return_exceptions=True)
    await model.close()
    async with aiohttp.ClientSession() as session, session.get(f"{url}/stats") as reply:
        counts = await reply.json()
    return [type(each).__name__ for each in outcomes], counts


async def test_it_counts_calls_the_most_at_once_and_the_time_from_first_to_last() -> None:
    with upstream("--latency", "0.05") as url:
        outcomes, counts = await call_upstream(url, 8, RetryPolicy())
        again = (await call_upstream(url, 4, RetryPolicy()))[1]
    assert outcomes == ["Completion"] * CALLS
    assert (counts["calls"], counts["failed"], counts["peak"]) == (CALLS, 0, 8)
    assert counts["seconds"] >= CALLS / 8 * 0.05
    assert (again["calls"], again["peak"]) == (CALLS, 4)  # a count of its own


@pytest.mark.parametrize("failing", ["0.5", "1"])
async def test_a_share_fails_at_once(failing: str) -> None:
    with upstream("--latency", "0", "--failing", failing) as url:
        outcomes, counts = await call_upstream(url, 8, RetryPolicy(attempts=1))
    assert outcomes.count(ServerFault.__name__) == counts["failed"]
    assert (counts["failed"] == CALLS) is (failing == "1")
    assert counts["failed"] > 0
