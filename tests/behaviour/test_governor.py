"""The governor's actor on a Ray of its own, asked by processes that call an endpoint with a limit they do not know."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import orjson
import pytest
from aiohttp import web

from coe_ray.cluster.governors import GOVERNORS, NAMESPACE
from tests.bench.own_ray import ROOT, OwnRay, own_ray

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PATIENCE_S = 240.0
LENGTH_S = 0.2
ANSWER = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "here"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 1},
}
KILL = f"import ray; ray.init(log_to_driver=False); ray.kill(ray.get_actor({GOVERNORS!r}, {NAMESPACE!r}))"


@dataclass
class Provider:
    """Answers up to `limit` calls at a time and refuses the others; `used` is in call seconds."""

    limit: int = 20
    base_url: str = ""
    in_flight: int = 0
    answered: int = 0
    refused: int = 0
    used: float = 0.0

    async def answer(self, request: web.Request) -> web.Response:
        if self.in_flight >= self.limit:
            self.refused += 1
            return web.json_response({"error": {"message": "too many requests"}}, status=429)
        began = time.monotonic()
        self.in_flight += 1
        try:
            await asyncio.sleep(LENGTH_S)
        finally:
            self.in_flight -= 1
            self.used += time.monotonic() - began
        self.answered += 1
        return web.json_response(ANSWER)

    def share_used(self, seconds: float) -> float:
        """Of the limit, in the `seconds` to come. By what the calls took here: a busy machine makes them longer."""
        began, used = time.monotonic(), self.used
        time.sleep(seconds)
        return (self.used - used) / (time.monotonic() - began) / self.limit

    @property
    def share_refused(self) -> float:
        return self.refused / (self.refused + self.answered)


@pytest.fixture(scope="module")
def ray() -> Iterator[OwnRay]:
    with own_ray() as started:
        yield started


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider, loop = Provider(), asyncio.new_event_loop()
    up, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", provider.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        provider.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        up.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert up.wait(10)
    yield provider
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


class Calling:
    """One caller process."""

    def __init__(self, ray: OwnRay, provider: Provider) -> None:
        command = [sys.executable, "-m", "tests.behaviour.caller", provider.base_url, "100", "64"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=ROOT, env=ray.environment, stdin=pipe, stdout=pipe, stderr=pipe)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"up\n", self.process.communicate()[1].decode()

    def outcomes(self) -> dict[str, int]:
        """Stop it, and count."""
        said, _ = self.process.communicate(timeout=PATIENCE_S)
        found: dict[str, int] = orjson.loads(said.splitlines()[-1])
        return found


@contextlib.contextmanager
def calling(ray: OwnRay, provider: Provider, processes: int) -> Iterator[list[Calling]]:
    started = [Calling(ray, provider) for _ in range(processes)]
    try:
        yield started
    finally:
        for each in started:
            each.process.kill()
            each.process.communicate()


def wait_for_governors(ray: OwnRay) -> int:
    """The process id of the governors' actor."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found := ray.processes("ray::Governors"):
            return found[0]
        time.sleep(0.1)
    raise AssertionError("there is no governor")


def test_two_jobs_find_a_limit_that_drops_and_comes_back_and_share_it(ray: OwnRay, provider: Provider) -> None:
    with calling(ray, provider, 2) as callers:
        for provider.limit in (20, 5, 20):
            time.sleep(22)
            assert provider.share_used(8) >= 0.85
        outcomes = [each.outcomes() for each in callers]
    assert provider.share_refused <= 0.05
    calls = [outcome.pop("answered") for outcome in outcomes]
    assert not any(outcomes)
    assert all(0.35 <= each / sum(calls) <= 0.65 for each in calls)


def test_governor_is_killed_five_times_and_the_calls_go_on(ray: OwnRay, provider: Provider) -> None:
    chance = random.Random(5)
    with calling(ray, provider, 2) as callers:
        for kill in range(5):
            time.sleep(chance.uniform(1, 4))
            governors = wait_for_governors(ray)
            if kill % 2:
                os.kill(governors, signal.SIGKILL)  # Ray starts it again
            else:
                subprocess.run([sys.executable, "-c", KILL], env=ray.environment, check=True)  # it has to be made again
        time.sleep(2)
        outcomes = [each.outcomes() for each in callers]
    assert provider.share_refused <= 0.05
    answered = [outcome.pop("answered") for outcome in outcomes]
    assert not any(outcomes)  # no call failed
    assert provider.answered == sum(answered)
