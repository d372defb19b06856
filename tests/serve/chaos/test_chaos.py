"""Chaos under load: replicas and nodes die, an API misbehaves; every client gets an answer or an error that says why.

Each test takes half a minute, or the two minutes that the README's figures are made of:
`COE_RAY_CHAOS=long python -m pytest -s tests/serve/chaos/test_chaos.py`.
"""

import asyncio
import os
import random
import sys
from collections.abc import Iterator, Sequence
from time import monotonic

import pytest

from tests.serve.chaos.application import CLOUD, HOSTED, NEXT_BEST, add_worker, write_world
from tests.serve.chaos.fault_injector import Choose, FaultInjector
from tests.serve.chaos.faults import FAULTS, answer_everything
from tests.serve.chaos.load import Load
from tests.serve.chaos.report import WORKING, Disruption, Report
from tests.support.cluster import Cluster, Replica, Replicas
from tests.support.fault_server import FaultServer

pytestmark = pytest.mark.timeout(500)

LONG = os.environ.get("COE_RAY_CHAOS") == "long"
SECONDS = 120.0 if LONG else 25.0
QUIET_S = 20.0 if LONG else 12.0
"""At the end nothing is broken any more: it is to be seen that all goes well again."""
SEED = 4
NOTICED_S = 1.0
"""After a kill: HAProxy no longer sends anything there."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[FaultServer]:
    server = FaultServer()
    answer_everything(server)
    with server.started():
        yield server


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, upstream: FaultServer, kill_cluster: Cluster) -> Cluster:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_HUB_OFFLINE", "1")
        profile = write_world(tmp_path_factory.mktemp("chaos"), upstream.base_url)
    for name in ("left", "right"):
        add_worker(kill_cluster, name)
    assert kill_cluster.deploy(profile, "tests.serve.chaos.application:build") is None
    return kill_cluster


def expert_replicas(replicas: Replicas, chance: random.Random, before: int) -> tuple[str, Sequence[Replica]]:
    """First both replicas of an expert, so that only the next best can answer; then one; and so on."""
    expert = chance.choice(HOSTED)
    living = sorted(replicas[f"model-{expert}"], key=lambda replica: replica.node)
    return (f"all of {expert}", living) if before % 2 == 0 else (f"one of {expert}", [chance.choice(living)])


def one_of(deployment: str) -> Choose:
    def chosen(replicas: Replicas, chance: random.Random, _: int) -> tuple[str, Sequence[Replica]]:
        return "one", [chance.choice(sorted(replicas[deployment], key=lambda replica: replica.node))]

    return chosen


async def killed_under_load(cluster: Cluster, title: str, choose: Choose) -> Report:
    injector = FaultInjector(cluster, HOSTED, random.Random(SEED))
    await injector.settle()
    until = monotonic() + SECONDS - QUIET_S
    async with asyncio.TaskGroup() as group:
        load = group.create_task(Load(cluster.url, HOSTED, title[:6], SECONDS).run())
        disruptions = group.create_task(injector.kill_replicas(choose, until))
    return printed(Report(title, load.result(), disruptions.result()))


def printed(report: Report) -> Report:
    sys.stdout.write(f"\n{report}\n")
    return report


def assert_every_request_was_explained(report: Report) -> None:
    """An answer or an error in OpenAI's form, also at the end of a stream."""
    assert len(report.ended) > 10 * SECONDS
    assert report.with_fate("lost", "cut off") == []


def assert_only_lost_what_was_in_flight(report: Report) -> None:
    """With an ingress replica its requests are gone."""
    assert len(report.ended) > 10 * SECONDS
    gone, explained = report.with_fate("lost", "cut off"), 0
    for disruption in report.disruptions:
        lost = [each for each in gone if each.began <= disruption.at + NOTICED_S and each.ended >= disruption.at]
        explained += len(lost)
        assert len(lost) <= report.in_flight(disruption.at), disruption
    assert len(gone) <= explained
    assert not any(each.request.error in ("timeout", "the stream broke off") for each in gone)


def assert_right_tasks_and_experts(report: Report) -> None:
    """What an answer says is checked while it is asked for (see `chaos_load`)."""
    for each in report.ended:
        if each.request.task is not None:
            assert each.request.task == each.task
        if each.request.error is None:
            assert each.request.expert in (each.task, NEXT_BEST[each.task])
    assert len({each.request.version for each in report.ended if each.request.version}) == 1


async def test_expert_replicas_die(cluster: Cluster) -> None:
    report = await killed_under_load(cluster, "expert replicas", expert_replicas)
    assert report.disruptions
    assert_every_request_was_explained(report)
    assert_right_tasks_and_experts(report)


async def test_retriever_replicas_die(cluster: Cluster) -> None:
    report = await killed_under_load(cluster, "retriever replicas", one_of("retriever"))
    assert report.disruptions
    assert_every_request_was_explained(report)
    assert_right_tasks_and_experts(report)


async def test_ingress_replicas_die(cluster: Cluster) -> None:
    report = await killed_under_load(cluster, "ingress replicas", one_of("ingress"))
    assert report.disruptions
    assert_only_lost_what_was_in_flight(report)
    assert_right_tasks_and_experts(report)


async def test_an_api_misbehaves(cluster: Cluster, upstream: FaultServer) -> None:
    tasks = (CLOUD, "alpha")
    injector = FaultInjector(cluster, tasks, random.Random(SEED))
    await injector.settle()
    async with asyncio.TaskGroup() as group:
        load = group.create_task(Load(cluster.url, tasks, "api", SECONDS).run())
        group.create_task(misbehaving(upstream, SECONDS - QUIET_S))
        await asyncio.sleep(SECONDS - QUIET_S)
        at = monotonic()
        await injector.settle()
        disruptions = [Disruption("from its last fault on", at, monotonic())]
    report = printed(Report("API", load.result(), disruptions))
    assert_every_request_was_explained(report)
    assert_right_tasks_and_experts(report)
    assert {each.fate for each in report.ended if each.task != CLOUD} <= set(WORKING)


async def misbehaving(upstream: FaultServer, seconds: float) -> None:
    """Each fault for a while, then all of them mixed; in the short form only the latter."""
    chance = random.Random(SEED)
    phases = [[kind] for kind in chance.sample(sorted(FAULTS), len(FAULTS))] if LONG else []
    phases.append(list(FAULTS))
    for number, kinds in enumerate(phases):
        upstream.mixed({kind: FAULTS[kind] for kind in kinds}, share=0.5, seed=number)
        await asyncio.sleep(seconds / len(phases))
        sys.stdout.write(f"\n{dict(upstream.kinds)}")
    answer_everything(upstream)


async def test_a_node_is_lost(cluster: Cluster) -> None:
    injector = FaultInjector(cluster, HOSTED, random.Random(SEED))
    await asyncio.to_thread(add_worker, cluster, "spare")
    await injector.settle()
    until = monotonic() + SECONDS - QUIET_S
    async with asyncio.TaskGroup() as group:
        load = group.create_task(Load(cluster.url, HOSTED, "node", SECONDS).run())
        disruptions = group.create_task(injector.remove_nodes(until))
    report = printed(Report("a node of three", load.result(), disruptions.result()))
    assert report.disruptions
    assert_only_lost_what_was_in_flight(report)
    assert_right_tasks_and_experts(report)
