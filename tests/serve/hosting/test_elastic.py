"""Load that moves from one task to another: its expert grows, the idle one shrinks, and no request fails."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx
import pytest

from tests.serve.hosting.elastic_application import write_world
from tests.support.cluster import Cluster

pytestmark = pytest.mark.timeout(400)

CLIENTS = 12
PATIENCE_S = 80.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, gpu_cluster: Cluster) -> Iterator[Cluster]:
    gpu_cluster.add_node("gpus", gpus=2)
    profile = write_world(tmp_path_factory.mktemp("elastic"))
    with gpu_cluster.serving(profile, "tests.serve.hosting.elastic_application:build"):
        yield gpu_cluster
    gpu_cluster.remove_nodes()


@dataclass
class Load:
    """Clients that ask about one task, one question after the other, until `over`."""

    url: str
    task: str = "alpha"
    over: bool = False
    statuses: Counter[int] = field(default_factory=Counter)
    experts: Counter[tuple[str, str]] = field(default_factory=Counter)

    async def run(self) -> None:
        limits = httpx.Limits(max_connections=CLIENTS)
        async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE_S, limits=limits) as http:
            await asyncio.gather(*[self._client(http, number) for number in range(CLIENTS)])

    async def _client(self, http: httpx.AsyncClient, number: int) -> None:
        asked = 0
        while not self.over:
            task = self.task
            response = await ask(http, "coe", f"a case of {task}, number {number}.{asked}, for 0.3 s")
            self.statuses[response.status_code] += 1
            self.experts[task, response.headers.get("x-coe-expert", response.text)] += 1
            asked += 1


async def ask(http: httpx.AsyncClient, model: str, question: str) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": question}]}
    return await http.post("/v1/chat/completions", json=body)


async def seconds_until(cluster: Cluster, true_of: Callable[[dict[str, int]], bool]) -> float:
    """How long until that is true of the numbers of running replicas."""
    began = time.monotonic()
    while not true_of(running := await asyncio.to_thread(cluster.run, "tests.serve.hosting.gpu_application:running")):
        assert time.monotonic() - began < PATIENCE_S, f"in vain, with {running}"
        await asyncio.sleep(0.3)
    return time.monotonic() - began


async def test_experts_grow_and_shrink_with_their_tasks_and_no_request_fails(cluster: Cluster) -> None:
    load = Load(cluster.url)
    took = {}
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run())
        took["alpha grows to 2"] = await seconds_until(cluster, lambda running: running["alpha"] >= 2)
        load.task = "beta"
        took["beta comes from zero"] = await seconds_until(cluster, lambda running: running["beta"] >= 1)
        took["beta grows to 2"] = await seconds_until(cluster, lambda running: running["beta"] >= 2)
        took["alpha shrinks to 1"] = await seconds_until(cluster, lambda running: running["alpha"] == 1)
        load.over = True
    took["beta shrinks to zero"] = await seconds_until(cluster, lambda running: running["beta"] == 0)
    sys.stdout.write(f"{took} {load.statuses} {load.experts}\n")
    assert set(load.statuses) == {200}
    assert set(load.experts) == {("alpha", "alpha"), ("beta", "beta")}


async def test_a_request_brings_an_expert_back_from_zero(cluster: Cluster) -> None:
    await seconds_until(cluster, lambda running: running["beta"] == 0)
    async with httpx.AsyncClient(base_url=cluster.url, timeout=PATIENCE_S) as http:
        began = time.monotonic()
        response = await ask(http, "beta", "anybody there?")
        sys.stdout.write(f"answered from zero replicas in {time.monotonic() - began:.1f} s\n")
    assert response.status_code == 200, response.text


async def test_a_full_queue_says_when_to_come_back(cluster: Cluster) -> None:
    async with httpx.AsyncClient(base_url=cluster.url, timeout=PATIENCE_S) as http:
        questions = [ask(http, "narrow", f"question {number}, for 0.5 s") for number in range(20)]
        responses = await asyncio.gather(*questions)
    statuses = Counter(response.status_code for response in responses)
    sys.stdout.write(f"{statuses}\n")
    assert set(statuses) == {200, 503}
    assert all(int(response.headers["retry-after"]) >= 1 for response in responses if response.status_code == 503)
