"""Placement groups of hosted models on nodes with logical GPUs: where replicas lie, and what a lost node costs."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serve.hosting.gpu_engines import INSIDE_THE_REAL_ONE
from tests.support.cluster import Cluster
from tests.support.profiles import NO_ENCODER, hosted, write_profile

pytestmark = pytest.mark.timeout(400)
APPLICATION = "tests.serve.hosting.gpu_application"
LOAD = "tests.serve.hosting.gpu_load"


@pytest.fixture(scope="module")
def cluster(gpu_cluster: Cluster) -> Iterator[Cluster]:
    """Two nodes of two GPUs, of which one kind only is on the second."""
    gpu_cluster.add_node("left", gpus=2)
    gpu_cluster.add_node("right", {"accelerator_type:L4": 1}, gpus=2)
    yield gpu_cluster
    gpu_cluster.remove_nodes()


@pytest.fixture
def served(cluster: Cluster) -> Iterator[Cluster]:
    yield cluster
    cluster.delete()


def deploy(cluster: Cluster, profile: Path) -> None:
    assert cluster.deploy(profile, f"{APPLICATION}:build") is None


def profile(folder: Path, **models: dict[str, Any]) -> Path:
    first = next(iter(models))
    content = {
        "tasks": [{"name": "Anything", "description": "whatever is asked"}],
        "models": models,
        "experts": {"expert": {"model": first}},
        "classifier": {"model": first, "decoding": "free", "k": 0},
        "retrieval": {"encoder": NO_ENCODER},
    }
    return write_profile(folder / "gpus.yaml", content)


def test_bundles_lie_where_the_strategy_says(served: Cluster, tmp_path: Path) -> None:
    models = {
        "halves": hosted(2, bundle={"GPU": 0.5, "CPU": 0.5}, accelerator="L4"),
        "spread": hosted(engine={"tensor_parallel_size": 2}, strategy="SPREAD"),
    }
    deploy(served, profile(tmp_path, **models))
    homes = served.run(f"{APPLICATION}:homes")
    assert homes["halves"] == [["right"], ["right"]]  # one card is enough for both, and the only place left for them
    assert sorted(homes["spread"][0]) == ["left", "right"]


def test_the_real_server_lies_on_one_node_beside_others(served: Cluster, tmp_path: Path) -> None:
    # The halves come first in the profile. Placed first, they would take a card of each node.
    models = {
        "halves": hosted(2, bundle={"GPU": 0.5, "CPU": 1}),
        "real": hosted(engine={"tensor_parallel_size": 2}, environment=INSIDE_THE_REAL_ONE),
    }
    deploy(served, profile(tmp_path, **models))
    homes = served.run(f"{APPLICATION}:homes")
    [[first, second]] = homes["real"]
    assert first == second
    assert len(homes["halves"]) == 2
    assert served.run(f"{LOAD}:answer", model="real") == "tensor 2"


def test_models_without_room_are_refused_before_they_are_deployed(served: Cluster, tmp_path: Path) -> None:
    three = profile(tmp_path, wide=hosted(engine={"tensor_parallel_size": 3}))
    with pytest.raises(RuntimeError, match="the largest node has 2 GPU of 3"):
        deploy(served, three)
    with pytest.raises(RuntimeError, match="do not fit together"):
        deploy(served, profile(tmp_path, many=hosted(5)))


def test_a_lost_nodes_replicas_come_back_elsewhere_and_no_call_is_lost(served: Cluster, tmp_path: Path) -> None:
    path = profile(tmp_path, expert=hosted(2, engine={"tensor_parallel_size": 2}))
    deploy(served, path)
    assert served.run(f"{APPLICATION}:homes")["expert"] == [["left", "left"], ["right", "right"]]
    served.add_node("spare", gpus=2)
    seen = served.run(f"{LOAD}:lose_node_under_load", node="left", model="expert", path=path)
    del served.nodes["left"]
    sys.stdout.write(f"{seen}\n")
    assert seen["recovery_s"] is not None
    assert seen["homes"]["expert"] == [["right", "right"], ["spare", "spare"]]
    assert seen["before"] > 0
    assert seen["after"] > 0
    assert seen["errors"] == []
