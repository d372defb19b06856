"""What a live cluster, and its autoscaler's report, say about room for a profile's hosted models."""

import logging

import pytest
import ray

from coe_ray.cluster.ray_internals import NodeGroup
from coe_ray.core.errors import ConfigError
from coe_ray.serve.hosting import capacity
from coe_ray.serve.hosting.capacity import require_capacity
from tests.support.hosted_profiles import hosted_model, node_resources, profile_of

PAIR = profile_of(hosted_model(2))


class FakeCluster:
    """A cluster's nodes and its autoscaler's report, in Ray's place."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.nodes: list[dict[str, object]] = []
        self.groups: tuple[NodeGroup, ...] | None = None
        monkeypatch.setattr(ray, "is_initialized", lambda: True)
        monkeypatch.setattr(ray, "nodes", lambda: self.nodes)
        monkeypatch.setattr(capacity, "autoscaler_node_groups", lambda: self.groups)

    def add(self, resources: dict[str, float], group: str = "", *, alive: bool = True) -> None:
        labels = {"ray.io/node-group": group} if group else {}
        self.nodes.append({"Alive": alive, "Resources": resources, "Labels": labels})


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    return FakeCluster(monkeypatch)


def test_nothing_is_checked_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    assert require_capacity(profile_of(hosted_model(64))) == []


def test_only_living_nodes_count(cluster: FakeCluster) -> None:
    cluster.add(node_resources(2))
    assert require_capacity(PAIR) == []
    cluster.nodes.clear()
    cluster.add(node_resources(2), alive=False)
    cluster.add(node_resources())
    with pytest.raises(ConfigError, match="0 GPU of 2"):
        require_capacity(PAIR)


def test_warns_where_a_launcher_may_add_unreported_nodes(
    cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.add(node_resources(), group="head")
    with caplog.at_level(logging.WARNING, logger="ray.serve"):
        [warning] = require_capacity(PAIR)
    assert "0 GPU of 2" in warning
    assert "as soon as the cluster has grown" in warning


def test_reported_node_groups_count_less_their_live_nodes(cluster: FakeCluster) -> None:
    cluster.add(node_resources(), group="head")
    cluster.add(node_resources(2), group="gpu")
    cluster.groups = (NodeGroup("gpu", {"CPU": 16, "GPU": 2}, 2),)
    assert require_capacity(profile_of(hosted_model(2, replicas=2))) == []
    with pytest.raises(ConfigError, match="do not fit together"):
        require_capacity(profile_of(hosted_model(2, replicas=3)))
    cluster.groups = (NodeGroup("gpu", {"CPU": 16, "GPU": 2}, None),)
    assert require_capacity(profile_of(hosted_model(2, replicas=3))) == []
