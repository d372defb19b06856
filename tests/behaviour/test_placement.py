"""Placement groups of hosted models on nodes with logical GPUs: where replicas lie, and what a lost node costs."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.behaviour.engines import INSIDE_THE_REAL_ONE
from tests.behaviour.gpu_cluster import GpuCluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[GpuCluster]:
    """Two nodes of two GPUs, of which one kind only is on the second."""
    with GpuCluster.started() as cluster:
        cluster.add_node("left", 2)
        cluster.add_node("right", 2, **{"accelerator_type:L4": 1})
        yield cluster


@pytest.fixture
def served(cluster: GpuCluster) -> Iterator[GpuCluster]:
    yield cluster
    cluster.tell("delete")


def hosted(replicas: int = 1, **options: Any) -> dict[str, Any]:
    scaling = {"min_replicas": replicas, "max_replicas": max(1, replicas)}
    return {"kind": "vllm", "weights": {"hub": "somebody/some-model"}, "scaling": scaling, **options}


def profile(folder: Path, **models: dict[str, Any]) -> str:
    first = next(iter(models))
    content = {
        "tasks": [{"name": "Anything", "description": "whatever is asked"}],
        "models": models,
        "experts": {"expert": {"model": first}},
        "classifier": {"model": first, "decoding": "free", "k": 0},
        "retrieval": {"encoder": {"hub": "nobody/no-encoder"}},
    }
    path = folder / "gpus.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return str(path)


def test_bundles_lie_where_the_strategy_says(served: GpuCluster, tmp_path: Path) -> None:
    models = {
        "halves": hosted(2, bundle={"GPU": 0.5, "CPU": 0.5}, accelerator="L4"),
        "spread": hosted(engine={"tensor_parallel_size": 2}, strategy="SPREAD"),
    }
    served.tell("deploy", profile=profile(tmp_path, **models))
    homes = served.tell("homes")
    assert homes["halves"] == [["right"], ["right"]]  # one card is enough for both, and the only place left for them
    assert sorted(homes["spread"][0]) == ["left", "right"]


def test_the_real_server_lies_on_one_node_beside_others(served: GpuCluster, tmp_path: Path) -> None:
    # The halves come first in the profile. Placed first, they would take a card of each node.
    models = {
        "halves": hosted(2, bundle={"GPU": 0.5, "CPU": 1}),
        "real": hosted(engine={"tensor_parallel_size": 2}, environment=INSIDE_THE_REAL_ONE),
    }
    served.tell("deploy", profile=profile(tmp_path, **models))
    homes = served.tell("homes")
    [[first, second]] = homes["real"]
    assert first == second
    assert len(homes["halves"]) == 2
    assert served.tell("ask", model="real") == "tensor 2"


def test_what_has_no_room_is_refused_before_it_is_deployed(served: GpuCluster, tmp_path: Path) -> None:
    three = profile(tmp_path, wide=hosted(engine={"tensor_parallel_size": 3}))
    with pytest.raises(RuntimeError, match="the largest node has 2 GPU of 3"):
        served.tell("deploy", profile=three)
    with pytest.raises(RuntimeError, match="do not fit together"):
        served.tell("deploy", profile=profile(tmp_path, many=hosted(5)))


def test_a_lost_nodes_replicas_come_back_elsewhere_and_no_call_is_lost(served: GpuCluster, tmp_path: Path) -> None:
    path = profile(tmp_path, expert=hosted(2, engine={"tensor_parallel_size": 2}))
    served.tell("deploy", profile=path)
    assert served.tell("homes")["expert"] == [["left", "left"], ["right", "right"]]
    served.add_node("spare", 2)
    seen = served.tell("lose_node_under_load", name="left", model="expert", profile=path)
    sys.stdout.write(f"{seen}\n")
    assert seen["recovery_s"] is not None
    assert seen["homes"]["expert"] == [["right", "right"], ["spare", "spare"]]
    assert seen["before"] > 0
    assert seen["after"] > 0
    assert seen["errors"] == []
