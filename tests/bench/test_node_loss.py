"""A bench on three nodes, of which one is lost in the middle with the worker on it."""

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.counting_upstream import CountingUpstream
from tests.bench.job import WORKER, Bench, lasting
from tests.bench.marked import write_marked, write_profile
from tests.support.cluster import Cluster, wait_until

pytestmark = pytest.mark.timeout(600)

QUESTIONS, AT_ONCE = 240, 12
EXPERTS = ("one", "two")
CALLS = QUESTIONS * len(EXPERTS)
OTHERS = ("127.0.0.2", "127.0.0.3")


@pytest.fixture(scope="module")
def ray(bench_cluster: Cluster) -> Iterator[Cluster]:
    yield bench_cluster
    bench_cluster.remove_nodes()


@pytest.fixture(scope="module")
def asked() -> Iterator[CountingUpstream]:
    with CountingUpstream().started() as started:
        yield started


def test_a_lost_node_costs_no_more_than_the_calls_in_flight(
    ray: Cluster, asked: CountingUpstream, tmp_path: Path
) -> None:
    models = {
        name: {"kind": "api", "base_url": asked.base_url, "model": name, "max_concurrency": AT_ONCE} for name in EXPERTS
    }
    profile = write_profile(tmp_path / "cluster.yaml", models)
    data = write_marked(tmp_path / "data", [""] * QUESTIONS)
    alone = Bench(ray.environment, profile, data, tmp_path / "alone")
    code, output = alone.run()
    assert code == 0, output

    bench = replace(alone, out=tmp_path / "out")
    for ip in OTHERS:
        ray.add_node(ip, ip=ip)
    asked.start_over(seed=1)
    with bench.start() as process:
        try:
            wait_until(
                lambda: (asked.counts.total() >= CALLS // 4 and len(homes(ray)) > 1) or process.poll() is not None
            )
            victim, *living = homes(ray)
            assert living
            asked.forget_closed()
            ray.lose_node(victim)
            lost = asked.in_flight
            output, _ = process.communicate(timeout=240)
        finally:
            process.kill()
    assert process.returncode == 0, output
    sys.stdout.write(f"{asked.counts.total()} served, {CALLS} distinct, {lost} lost, on {1 + len(living)} nodes\n")
    assert lasting(bench.summary()) == lasting(alone.summary())
    answers = Counter((row["question_id"], row["system"]) for row in bench.folder.read_answers())
    assert len(answers) == (len(EXPERTS) + 1) * QUESTIONS
    assert set(answers.values()) == {1}
    assert len(asked.counts) == CALLS
    assert asked.counts.total() <= CALLS + lost
    calls = bench.summary()["calls"]
    assert calls["completed"] == CALLS + QUESTIONS  # the classifier's too
    assert calls["issued"] == calls["completed"] + calls["abandoned"]
    assert calls["repeated"] <= calls["abandoned"]


def homes(ray: Cluster) -> list[str]:
    """The nodes that have a worker; the head, which may not be lost, comes last."""
    return [node for node in reversed([*ray.nodes]) if ray.processes(WORKER, node)]
