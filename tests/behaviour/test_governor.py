"""The governor's actor on a Ray of its own, asked by processes that call an endpoint with a limit they do not know."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import orjson
import pytest
from aiohttp import web

from coe_ray.cluster.governors import GOVERNORS, NAMESPACE
from tests.bench.own_ray import ROOT, OwnRay, own_ray
from tests.support.upstream import ChatRequest, FakeUpstream, Reply, completion, fault

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PATIENCE_S = 240.0
LENGTH_S = 0.2
KILL = f"import ray; ray.init(log_to_driver=False); ray.kill(ray.get_actor({GOVERNORS!r}, {NAMESPACE!r}))"


class Provider(FakeUpstream):
    """Answers up to `limit` calls at a time and refuses the others; `used` is in call seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.limit = 20
        self.refused = 0
        self.used = 0.0

    @property
    def answered(self) -> int:
        return self.served - self.refused

    def respond(self, request: ChatRequest) -> Reply:
        if self.live - 1 >= self.limit:
            self.refused += 1
            return fault(429, "too many requests")
        return replace(completion(request, "here"), delay_s=LENGTH_S)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        began = time.monotonic()
        response = await super().answer(request)
        if response.status == 200:
            self.used += time.monotonic() - began
        return response

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
    with Provider().started() as provider:
        yield provider


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
