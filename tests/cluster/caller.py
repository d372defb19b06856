"""A process that calls one endpoint through its limiter and the cluster's governor; its first line of output is `up`.

    python -m tests.cluster.caller BASE_URL CALLERS MAX_CONCURRENCY

It calls from a line of input to the end of its input. The last line of output counts the outcomes, as JSON.
"""

import asyncio
import logging
import sys
from collections import Counter

import orjson
import ray

from coe_ray.cluster.governors import connect_governors
from coe_ray.core.errors import CallError
from coe_ray.core.types import Call, Message
from coe_ray.llm.http import HttpModel
from coe_ray.llm.retry import RetryPolicy
from coe_ray.ratelimit.governor import RateLimits
from coe_ray.ratelimit.limiter import LimiterRegistry

CALL = Call((Message("user", "Where?"),))


class Caller:
    """Calls until it is stopped; what is under way then is finished."""

    def __init__(self, base_url: str, max_concurrency: int) -> None:
        limiter = LimiterRegistry(connect_governors()).limiter(base_url, "sk-shared", RateLimits(max_concurrency))
        self._model = HttpModel(
            name="m", model="m", base_url=base_url, limiter=limiter, api_key="sk-shared", retry=RetryPolicy(attempts=30)
        )
        self._stopped = False
        self.outcomes: Counter[str] = Counter()

    def stop(self) -> None:
        self._stopped = True

    async def run(self, callers: int) -> None:
        await asyncio.gather(*(self._ask() for _ in range(callers)))
        await self._model.close()

    async def _ask(self) -> None:
        while not self._stopped:
            try:
                await self._model.complete(CALL)
                self.outcomes["answered"] += 1
            except CallError as error:
                self.outcomes[type(error).__name__] += 1


async def main(base_url: str, callers: str, max_concurrency: str) -> None:
    caller = Caller(base_url, int(max_concurrency))
    sys.stdout.write("up\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    asyncio.get_running_loop().add_reader(sys.stdin, caller.stop)
    await caller.run(int(callers))
    sys.stdout.write(orjson.dumps(caller.outcomes).decode() + "\n")


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    ray.init(log_to_driver=False, logging_level=logging.WARNING)
    asyncio.run(main(*sys.argv[1:]))
