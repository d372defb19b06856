"""Chaos under load: replicas and nodes die, an API misbehaves; whoever asks gets an answer or is told why not.

Each test takes half a minute, or the two minutes that the README's figures are made of:
`COE_RAY_CHAOS=long python -m pytest -s tests/behaviour/test_chaos.py`.
"""

import asyncio
import os
import random
import sys
from collections.abc import Iterator, Sequence
from time import monotonic

import pytest

from tests.behaviour.chaos_cluster import ChaosCluster, Replica, Replicas
from tests.behaviour.chaos_faults import FAULTS, calm
from tests.behaviour.chaos_kills import Breaker, Choose
from tests.behaviour.chaos_load import Loading
from tests.behaviour.chaos_report import WORKING, Blow, Report
from tests.behaviour.chaos_world import CLOUD, HOSTED, NEXT_BEST, write_world
from tests.support.fault_server import FaultServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]

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
    calm(server)
    with server.started():
        yield server


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, upstream: FaultServer) -> Iterator[ChaosCluster]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_HUB_OFFLINE", "1")
        profile = write_world(tmp_path_factory.mktemp("chaos"), upstream.base_url)
    with ChaosCluster.started() as cluster:
        cluster.add_worker("left")
        cluster.add_worker("right")
        cluster.tell("deploy", profile=profile, builder="tests.behaviour.chaos_world:build")
        yield cluster


def expert_replicas(replicas: Replicas, chance: random.Random, before: int) -> tuple[str, Sequence[Replica]]:
    """First both replicas of an expert, so that nobody but the next best is left to answer; then one; and so on."""
    expert = chance.choice(HOSTED)
    living = sorted(replicas[f"model-{expert}"], key=lambda replica: replica.node)
    return (f"all of {expert}", living) if before % 2 == 0 else (f"one of {expert}", [chance.choice(living)])


def one_of(deployment: str) -> Choose:
    def chosen(replicas: Replicas, chance: random.Random, _: int) -> tuple[str, Sequence[Replica]]:
        return "one", [chance.choice(sorted(replicas[deployment], key=lambda replica: replica.node))]

    return chosen


async def killed_under_load(cluster: ChaosCluster, title: str, choose: Choose) -> Report:
    breaker = Breaker(cluster, HOSTED, random.Random(SEED))
    await breaker.settle()
    until = monotonic() + SECONDS - QUIET_S
    async with asyncio.TaskGroup() as group:
        load = group.create_task(Loading(cluster.url, HOSTED, title[:6], SECONDS).run())
        blows = group.create_task(breaker.kill_replicas(choose, until))
    return told(Report(title, load.result(), blows.result()))


def told(report: Report) -> Report:
    sys.stdout.write(f"\n{report}\n")
    return report


def assert_nobody_was_left_in_the_dark(report: Report) -> None:
    """An answer or an error in OpenAI's form, also at the end of a stream."""
    assert len(report.ended) > 10 * SECONDS
    assert report.those("lost", "cut off") == []


def assert_only_lost_what_was_in_flight(report: Report) -> None:
    """With an ingress replica its requests are gone: nobody else knows of them."""
    assert len(report.ended) > 10 * SECONDS
    gone, explained = report.those("lost", "cut off"), 0
    for blow in report.blows:
        lost = [each for each in gone if each.began <= blow.at + NOTICED_S and each.ended >= blow.at]
        explained += len(lost)
        assert len(lost) <= report.in_flight(blow.at), blow
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


async def test_expert_replicas_die(cluster: ChaosCluster) -> None:
    report = await killed_under_load(cluster, "expert replicas", expert_replicas)
    assert report.blows
    assert_nobody_was_left_in_the_dark(report)
    assert_right_tasks_and_experts(report)


async def test_retriever_replicas_die(cluster: ChaosCluster) -> None:
    report = await killed_under_load(cluster, "retriever replicas", one_of("retriever"))
    assert report.blows
    assert_nobody_was_left_in_the_dark(report)
    assert_right_tasks_and_experts(report)


async def test_ingress_replicas_die(cluster: ChaosCluster) -> None:
    report = await killed_under_load(cluster, "ingress replicas", one_of("ingress"))
    assert report.blows
    assert_only_lost_what_was_in_flight(report)
    assert_right_tasks_and_experts(report)


async def test_an_api_misbehaves(cluster: ChaosCluster, upstream: FaultServer) -> None:
    tasks = (CLOUD, "alpha")
    breaker = Breaker(cluster, tasks, random.Random(SEED))
    await breaker.settle()
    async with asyncio.TaskGroup() as group:
        load = group.create_task(Loading(cluster.url, tasks, "api", SECONDS).run())
        group.create_task(misbehaving(upstream, SECONDS - QUIET_S))
        await asyncio.sleep(SECONDS - QUIET_S)
        at = monotonic()
        await breaker.settle()
        blows = [Blow("from its last fault on", at, monotonic())]
    report = told(Report("API", load.result(), blows))
    assert_nobody_was_left_in_the_dark(report)
    assert_right_tasks_and_experts(report)
    assert {each.fate for each in report.ended if each.task != CLOUD} <= set(WORKING)


async def misbehaving(upstream: FaultServer, seconds: float) -> None:
    """Each fault in turn, then all of them in turns; in the short form the latter alone."""
    chance = random.Random(SEED)
    phases = [[kind] for kind in chance.sample(sorted(FAULTS), len(FAULTS))] if LONG else []
    phases.append(list(FAULTS))
    for number, kinds in enumerate(phases):
        upstream.mixed({kind: FAULTS[kind] for kind in kinds}, share=0.5, seed=number)
        await asyncio.sleep(seconds / len(phases))
        sys.stdout.write(f"\n{dict(upstream.kinds)}")
    calm(upstream)


async def test_a_node_is_lost(cluster: ChaosCluster) -> None:
    breaker = Breaker(cluster, HOSTED, random.Random(SEED))
    await asyncio.to_thread(cluster.add_worker, "spare")
    await breaker.settle()
    until = monotonic() + SECONDS - QUIET_S
    async with asyncio.TaskGroup() as group:
        load = group.create_task(Loading(cluster.url, HOSTED, "node", SECONDS).run())
        blows = group.create_task(breaker.lose_nodes(until))
    report = told(Report("a node of three", load.result(), blows.result()))
    assert report.blows
    assert_only_lost_what_was_in_flight(report)
    assert_right_tasks_and_experts(report)
