"""Which hosted models have room on which nodes, and what a live cluster and its autoscaler say about that."""

import logging
import math
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.cluster.ray_internals import NodeGroup
from coe_ray.core.errors import ConfigError
from coe_ray.profile.models import Strategy, VllmModel
from coe_ray.profile.profile import load_profile
from coe_ray.serve.hosting import capacity, vllm
from coe_ray.serve.hosting.capacity import Capacity, check_placement, hardest_first, replica_placement, require_capacity
from coe_ray.serve.hosting.vllm import llm_config
from tests.support.hosted_profiles import hosted_model as hosted
from tests.support.hosted_profiles import node_resources as node
from tests.support.hosted_profiles import profile_of


def nodes(*gpus: float) -> Capacity:
    return Capacity(tuple(node(count) for count in gpus))


L4 = {"accelerator_type:L4": 1.0}
HALF = {"GPU": 0.5, "CPU": 1.0}

FITS = [
    ("two cards of one node", [hosted(2)], nodes(1, 2)),
    ("a pipeline over two nodes", [hosted(2, 2)], nodes(2, 2)),
    ("SPREAD is a preference", [hosted(2, strategy="SPREAD")], nodes(2)),
    ("a node each", [hosted(2, strategy="STRICT_SPREAD")], nodes(1, 1)),
    ("halves share a card", [hosted(bundle=HALF, replicas=4)], nodes(2)),
    ("thirds beside a whole one", [hosted(bundle={"GPU": 0.3}, replicas=3), hosted()], nodes(2)),
    ("big ones leave room for small ones", [hosted(bundle=HALF, replicas=2), hosted(2), hosted(3)], nodes(3, 3)),
    ("its kind of card", [hosted(accelerator="L4")], Capacity((node(1), node(1, **L4)))),
    ("no GPU at all", [hosted(bundle={"CPU": 1.0})], nodes(0)),
    ("nothing always up", [hosted(2, replicas=0), hosted(2, replicas=0)], nodes(2)),
    ("a node to be added", [hosted(4)], Capacity((node(),), (NodeGroup("big", node(4), None),))),
    ("a group without its kind of card", [hosted(accelerator="L4")], Capacity((), (NodeGroup("big", node(4), 1),))),
]


@pytest.mark.parametrize(("models", "capacity"), [case[1:] for case in FITS], ids=[case[0] for case in FITS])
def test_models_that_fit_are_accepted(models: list[VllmModel], capacity: Capacity) -> None:
    check_placement(profile_of(*models), capacity)


LACKS = [
    ([hosted(2)], nodes(1, 1), r"models.m0: .*needs 2 × \{GPU: 1, CPU: 1\} .* on one node.* has 1 GPU of 2"),
    ([hosted(2, strategy="STRICT_SPREAD")], nodes(4), r"on a node each.*too little of it together"),
    ([hosted(2, 2)], nodes(1, 2), r"4 × .*too little of it together"),
    ([hosted(accelerator="H100")], Capacity((node(1, **L4),)), r"no node has a H100.*1 × \{GPU: 1, CPU: 16, L4\}"),
    ([hosted(1, bundle={"GPU": 1.0, "CPU": 16.0})], nodes(8), r"16 CPU of 17"),
    ([hosted(1, bundle={"GPU": 1.0, "CPU": 8.0})], Capacity((node(2, 4), node(0, 64))), r"all of that at once"),
    ([hosted(2, replicas=0)], nodes(1), r"models.m0: "),
    ([hosted()], Capacity(()), r"there is no node"),
    ([hosted(replicas=3)], nodes(1, 1), r"\(3 × m0\) do not fit together: there is room for 2 of m0"),
    ([hosted(bundle={"GPU": 0.6}, replicas=3)], nodes(2), r"room for 2 of m0"),  # no card has 0.6 left
    ([hosted(2, replicas=3)], nodes(3, 3), r"room for 2 of m0"),  # six cards, but in two nodes
    ([hosted(2), hosted(), hosted()], nodes(2, 1), r"do not fit together: they need 4 GPU of 3"),
    ([hosted(bundle={"CPU": 9.0}), hosted(bundle={"CPU": 6.0})], nodes(0), r"they need 17 CPU of 16"),
    (
        [hosted(2)],
        Capacity((node(),), (NodeGroup("small", node(1), 9),)),
        r"at most 9 × \{GPU: 1, CPU: 16\} to be added \(small\)",
    ),
    ([hosted(2, replicas=3)], Capacity((), (NodeGroup("pair", node(2), 2),)), r"room for 2 of m0"),
]


@pytest.mark.parametrize(("models", "capacity", "message"), LACKS)
def test_refusal_names_what_is_missing(models: list[VllmModel], capacity: Capacity, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_placement(profile_of(*models), capacity)


@given(
    homes=st.lists(st.integers(0, 3), min_size=1, max_size=12),
    parts=st.lists(st.sampled_from([0.25, 0.5, 1.0]), min_size=12, max_size=12),
    strategy=st.sampled_from(["PACK", "STRICT_PACK", "SPREAD", "STRICT_SPREAD"]),
)
def test_a_possible_placement_is_never_refused(homes: list[int], parts: list[float], strategy: Strategy) -> None:
    """Replicas are put on nodes first, and the nodes made as large as that takes."""
    replicas = list(zip(homes, parts, strict=False))
    placed = [hosted(bundle={"GPU": part, "CPU": 0.1}, strategy=strategy) for _, part in replicas]
    shares = [[part for home, part in replicas if home == number] for number in range(4)]
    capacity = nodes(*[math.ceil(sum(parts)) for parts in shares])
    check_placement(profile_of(*placed), capacity)
    with pytest.raises(ConfigError):
        check_placement(profile_of(*[hosted(strategy=strategy)] * (len(homes) + 1)), capacity)


def test_large_clusters_are_checked() -> None:
    check_placement(profile_of(hosted(2, replicas=200)), nodes(*[8] * 50))
    with pytest.raises(ConfigError, match="room for 16 of m0"):
        check_placement(profile_of(hosted(3, replicas=17)), nodes(*[8] * 8))


def test_engines_of_several_cards_are_deployed_first() -> None:
    models = {"half": hosted(bundle=HALF), "one": hosted(), "four": hosted(2, 2), "pair": hosted(2)}
    assert hardest_first(models) == ["pair", "one", "half", "four"]


@pytest.mark.parametrize(
    "model", [hosted(2, 2, accelerator="A100"), hosted(bundle={"GPU": 0.4}), hosted(bundle={"CPU": 2.0})]
)
def test_bundles_are_those_that_serve_asks_for(model: VllmModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "locate_weights", lambda weights: weights.hub)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(runtime_env={}))
    options = vllm.ChatEngine.get_deployment_options(llm_config("m", model))
    checked = replica_placement(model)
    assert [*map(_without_zeros, options["placement_group_bundles"])] == [*map(_without_zeros, checked.bundles)]
    assert options["placement_group_strategy"] == checked.strategy


def _without_zeros(bundle: Any) -> dict[str, float]:
    return {name: amount for name, amount in bundle.items() if amount}


def test_the_gpu_profile_fits_where_its_comment_says() -> None:
    profile = load_profile("gpu")
    check_placement(profile, nodes(2, 1, 1, 1))
    check_placement(profile, nodes(8))
    with pytest.raises(ConfigError, match="do not fit together"):
        check_placement(profile, nodes(2, 1, 1))
    with pytest.raises(ConfigError, match=r"deepseek-r1-7b.*on one node"):
        check_placement(profile, nodes(1, 1, 1, 1, 1))


PAIR = profile_of(hosted(2))


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
    assert require_capacity(profile_of(hosted(64))) == []


def test_only_living_nodes_count(cluster: FakeCluster) -> None:
    cluster.add(node(2))
    assert require_capacity(PAIR) == []
    cluster.nodes.clear()
    cluster.add(node(2), alive=False)
    cluster.add(node())
    with pytest.raises(ConfigError, match="0 GPU of 2"):
        require_capacity(PAIR)


def test_warns_where_a_launcher_may_add_unreported_nodes(
    cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.add(node(), group="head")
    with caplog.at_level(logging.WARNING, logger="ray.serve"):
        [warning] = require_capacity(PAIR)
    assert "0 GPU of 2" in warning
    assert "as soon as the cluster has grown" in warning


def test_reported_node_groups_count_less_their_live_nodes(cluster: FakeCluster) -> None:
    cluster.add(node(), group="head")
    cluster.add(node(2), group="gpu")
    cluster.groups = (NodeGroup("gpu", {"CPU": 16, "GPU": 2}, 2),)
    assert require_capacity(profile_of(hosted(2, replicas=2))) == []
    with pytest.raises(ConfigError, match="do not fit together"):
        require_capacity(profile_of(hosted(2, replicas=3)))
    cluster.groups = (NodeGroup("gpu", {"CPU": 16, "GPU": 2}, None),)
    assert require_capacity(profile_of(hosted(2, replicas=3))) == []
