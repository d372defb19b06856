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

from coe_ray.cluster.governors import GOVERNORS, NAMESPACE
from tests.support.cluster import PATIENCE_S, ROOT, Cluster, wait_until
from tests.support.upstream import ChatRequest, FakeUpstream, Reply, completion, fault

pytestmark = pytest.mark.timeout(600)

LENGTH_S = 0.2
KILL = f"import ray; ray.init(log_to_driver=False); ray.kill(ray.get_actor({GOVERNORS!r}, {NAMESPACE!r}))"


class Provider(FakeUpstream):
    """Answers up to `limit` calls at a time and refuses the others."""

    def __init__(self) -> None:
        super().__init__()
        self.limit = 20
        self.refused = 0

    @property
    def answered(self) -> int:
        return self.served - self.refused

    def respond(self, request: ChatRequest) -> Reply:
        if self.live - 1 >= self.limit:
            self.refused += 1
            return fault(429, "too many requests")
        return replace(completion(request, "here"), delay_s=LENGTH_S)

    @property
    def share_refused(self) -> float:
        return self.refused / (self.refused + self.answered)


@pytest.fixture(scope="module")
def ray(bench_cluster: Cluster) -> Cluster:
    return bench_cluster


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider().started() as provider:
        yield provider


class Calling:
    """One caller process."""

    def __init__(self, ray: Cluster, provider: Provider) -> None:
        command = [sys.executable, "-m", "tests.cluster.caller", provider.base_url, "100", "64"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=ROOT, env=ray.environment, stdin=pipe, stdout=pipe, stderr=pipe)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"up\n", self.process.communicate()[1].decode()

    def start(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def outcomes(self) -> dict[str, int]:
        """Stop it, and count."""
        said, _ = self.process.communicate(timeout=PATIENCE_S)
        found: dict[str, int] = orjson.loads(said.splitlines()[-1])
        return found


@contextlib.contextmanager
def calling(ray: Cluster, provider: Provider, processes: int) -> Iterator[list[Calling]]:
    started = [Calling(ray, provider) for _ in range(processes)]
    try:
        for caller in started:
            caller.start()
        yield started
    finally:
        for each in started:
            each.process.kill()
            each.process.communicate()


def wait_for_governors(ray: Cluster) -> int:
    """The process id of the governors' actor."""
    wait_until(lambda: bool(ray.processes("ray::Governor")))
    return ray.processes("ray::Governor")[0]


def test_two_jobs_share_a_limit_that_they_do_not_know(ray: Cluster, provider: Provider) -> None:
    """How fast they find it, and one that changes, is measured in virtual time: tests/ratelimit/test_governor.py."""
    with calling(ray, provider, 2) as callers:
        wait_until(lambda: provider.answered >= 2_000)
        outcomes = [each.outcomes() for each in callers]
    assert provider.share_refused <= 0.05
    calls = [outcome.pop("answered") for outcome in outcomes]
    assert not any(outcomes)
    assert all(0.35 <= each / sum(calls) <= 0.65 for each in calls)


def test_governor_is_killed_five_times_and_the_calls_go_on(ray: Cluster, provider: Provider) -> None:
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
