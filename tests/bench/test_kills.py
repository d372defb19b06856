"""A bench whose processes are killed at seeded moments, until it is through: nothing lost, nothing paid twice.

All three ways to a model are in it: an API, a hosted model behind its Serve handle, and an endpoint of our own as the
API of another. The long version runs where COE_RAY_KILLS=long.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.bench.counting_upstream import CountingUpstream
from tests.bench.job import Bench, lasting
from tests.bench.kill_plan import FAILED, Killer, planned
from tests.bench.marked import write_marked, write_profile
from tests.bench.relay import BEHIND, HOSTED, MODEL
from tests.support.cluster import Cluster

pytestmark = pytest.mark.timeout(900)

QUESTIONS, AT_ONCE = 200, 4
EXPERTS = ("near", HOSTED, "door")
LONG = pytest.mark.skipif(os.environ.get("COE_RAY_KILLS") != "long", reason="only where COE_RAY_KILLS=long")


@dataclass(frozen=True, slots=True)
class World:
    """`whole` is what the bench's summary says when nobody disturbs it."""

    ray: Cluster
    provider: CountingUpstream
    bench: Bench
    whole: dict[str, Any]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, bench_cluster: Cluster) -> Iterator[World]:
    root = tmp_path_factory.mktemp("world")
    with CountingUpstream().started() as started, serving(bench_cluster, started, root) as profile:
        bench = Bench(bench_cluster.environment, profile, write_data(root), root / "whole")
        code, output = bench.run()
        assert code == 0, output
        assert started.counts == {(expert, n): 1 for expert in EXPERTS for n in range(1, QUESTIONS + 1)}
        yield World(bench_cluster, started, bench, lasting(bench.summary()))


def write_data(root: Path) -> Path:
    return write_marked(root / "data", [""] * QUESTIONS)


@contextmanager
def serving(cluster: Cluster, provider: CountingUpstream, root: Path) -> Iterator[Path]:
    """The bench's profile, while what it needs is served."""
    served = write_profile(
        root / "served.yaml",
        {HOSTED: MODEL, BEHIND: api(provider.base_url, "door")},
        {"through": {"model": BEHIND}, HOSTED: {"model": HOSTED}},
    )
    with cluster.serving(served, "tests.bench.relay:build") as url:
        models = {"near": api(provider.base_url, "near"), HOSTED: MODEL, "door": api(f"{url}/v1", "through")}
        yield write_profile(root / "bench.yaml", models)


def api(base_url: str, model: str) -> dict[str, Any]:
    return {"kind": "api", "base_url": base_url, "model": model, "max_concurrency": AT_ONCE}


def survives(world: World, kinds: list[str], seed: int, out: Path) -> None:
    bench = replace(world.bench, out=out)
    killer = Killer(bench, world.ray, world.provider, calls_at_door=AT_ONCE)
    distinct = len(EXPERTS) * QUESTIONS
    world.provider.start_over(seed)
    code, output = killer.run(planned(kinds, distinct, seed))
    if "proxy" in kinds and code == FAILED:  # it may be away for longer than a call is tried
        code, output = bench.run()
    assert code == 0, output
    assert lasting(bench.summary()) == world.whole
    answers = Counter((row["question_id"], row["system"]) for row in bench.folder.read_answers())
    assert len(answers) == (len(EXPERTS) + 1) * QUESTIONS
    assert set(answers.values()) == {1}
    served = world.provider.counts
    assert len(served) == distinct
    assert served.total() <= distinct + killer.lost
    calls = bench.summary()["calls"]
    figures = {name: calls[name] for name in ("issued", "completed", "repeated", "abandoned", "retried", "failed")}
    sys.stdout.write(f"{kinds} seed {seed}: {served.total()} of {distinct} + {killer.lost} served, {figures}\n")
    assert calls["issued"] == calls["completed"] + calls["abandoned"]
    assert calls["completed"] - calls["failed"] == distinct + QUESTIONS  # the classifier's too
    assert calls["repeated"] <= calls["abandoned"] + calls["failed"]
    assert calls["failed"] == 0 or "proxy" in kinds
    for expert in EXPERTS:  # nothing was served that the bill does not have
        bill = calls["by_model"][expert]
        assert sum(served[expert, n] for n in range(1, QUESTIONS + 1)) <= bill["issued"] + bill["retried"]


def test_five_kills(world: World, tmp_path: Path) -> None:
    survives(world, ["driver", "worker", "governor", "replica", "ingress"], 1, tmp_path / "out")


@LONG
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("kind", "times"),
    [("driver", 10), ("worker", 5), ("governor", 5), ("replica", 5), ("ingress", 5), ("proxy", 5)],
)
def test_many_kills(world: World, tmp_path: Path, kind: str, times: int, seed: int) -> None:
    survives(world, [kind] * times, seed, tmp_path / "out")
