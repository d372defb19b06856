"""What has room on which nodes, without a cluster; and what is asked of a live one."""

import logging
import math
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.core.errors import ConfigError
from coe_ray.profile.models import Scaling, Strategy, VllmModel, Weights
from coe_ray.profile.profile import Profile, load_profile
from coe_ray.serve.hosting import vllm as models
from coe_ray.serve.hosting.capacity import require_capacity
from coe_ray.serve.hosting.feasibility import (
    Capacity,
    NodeGroup,
    Replica,
    check_placement,
    hardest_first,
    is_placeable,
    replica_of,
)
from coe_ray.serve.hosting.vllm import llm_config, model_deployment


def hosted(tensor: int = 1, pipeline: int = 1, replicas: int = 1, **options: Any) -> VllmModel:
    engine = {"tensor_parallel_size": tensor, "pipeline_parallel_size": pipeline}
    scaling = Scaling(min_replicas=replicas, max_replicas=max(1, replicas))
    return VllmModel(kind="vllm", weights=Weights(hub="some/model"), engine=engine, scaling=scaling, **options)


def profile_of(**models: VllmModel) -> Profile:
    """Valid only in what placement reads."""
    return Profile.model_construct(models=models)


def node(gpus: float = 0, cpus: float = 16, **others: float) -> dict[str, float]:
    always = {"memory": 1e10, "object_store_memory": 1e9, "node:192.0.2.1": 1.0}
    return {"CPU": cpus, **({"GPU": gpus} if gpus else {}), **always, **others}


def nodes(*gpus: float) -> Capacity:
    return Capacity(tuple(node(each) for each in gpus))


L4 = {"accelerator_type:L4": 1.0}
HALF = {"GPU": 0.5, "CPU": 1.0}

FITS = [
    ("two cards of one node", [hosted(2)], nodes(1, 2)),
    ("a pipeline over two nodes", [hosted(2, 2)], nodes(2, 2)),
    ("spread is a wish", [hosted(2, strategy="SPREAD")], nodes(2)),
    ("a node each", [hosted(2, strategy="STRICT_SPREAD")], nodes(1, 1)),
    ("halves share a card", [hosted(bundle=HALF, replicas=4)], nodes(2)),
    ("thirds beside a whole one", [hosted(bundle={"GPU": 0.3}, replicas=3), hosted()], nodes(2)),
    ("big ones leave room for small ones", [hosted(bundle=HALF, replicas=2), hosted(2), hosted(3)], nodes(3, 3)),
    ("its kind of card", [hosted(accelerator="L4")], Capacity((node(1), node(1, **L4)))),
    ("no GPU at all", [hosted(bundle={"CPU": 1.0})], nodes(0)),
    ("nothing always up", [hosted(2, replicas=0), hosted(2, replicas=0)], nodes(2)),
    ("a node to be added", [hosted(4)], Capacity((node(),), (NodeGroup("big", node(4), None),))),
    ("its cards are not said", [hosted(accelerator="L4")], Capacity((node(),), (NodeGroup("big", node(4), 1),))),
]


@pytest.mark.parametrize(("wanted", "there"), [case[1:] for case in FITS], ids=[case[0] for case in FITS])
def test_what_has_room(wanted: list[VllmModel], there: Capacity) -> None:
    check_placement(profile_of(**{f"m{number}": model for number, model in enumerate(wanted)}), there)


LACKS = [
    ([hosted(2)], nodes(1, 1), r"models.m0: .*needs 2 × \{GPU: 1, CPU: 1\} .* on one node.* has 1 GPU of 2"),
    ([hosted(2, strategy="STRICT_SPREAD")], nodes(4), r"on a node each.*too little of it together"),
    ([hosted(2, 2)], nodes(1, 2), r"4 × .*too little of it together"),
    ([hosted(accelerator="H100")], Capacity((node(1, **L4),)), r"no node has a H100.*1 × \{GPU: 1, CPU: 16, L4\}"),
    ([hosted(1, bundle={"GPU": 1.0, "CPU": 16.0})], nodes(8), r"16 CPU of 17"),
    ([hosted(1, bundle={"GPU": 1.0, "CPU": 8.0})], Capacity((node(2, 4), node(0, 64))), r"all of that at once"),
    ([hosted(2, replicas=0)], nodes(1), r"models.m0: "),
    ([hosted()], Capacity(()), r"there is no node"),
    ([hosted(replicas=3)], nodes(1, 1), r"\(3 × m0\) do not fit together"),
    ([hosted(bundle={"GPU": 0.6}, replicas=3)], nodes(2), r"do not fit together"),  # no card has 0.6 left
    ([hosted(2, replicas=3)], nodes(3, 3), r"do not fit together"),  # six cards, but in two nodes
    (
        [hosted(2)],
        Capacity((node(),), (NodeGroup("small", node(1), 9),)),
        r"at most 9 × \{GPU: 1, CPU: 16\} to be added \(small\)",
    ),
]


@pytest.mark.parametrize(("wanted", "there", "said"), LACKS)
def test_what_has_no_room_is_named_with_what_is_missing(wanted: list[VllmModel], there: Capacity, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_placement(profile_of(**{f"m{number}": model for number, model in enumerate(wanted)}), there)


@given(
    where=st.lists(st.integers(0, 3), min_size=1, max_size=12),
    parts=st.lists(st.sampled_from([0.25, 0.5, 1.0]), min_size=12, max_size=12),
    strategy=st.sampled_from(["PACK", "STRICT_PACK", "SPREAD", "STRICT_SPREAD"]),
)
def test_what_lies_on_nodes_is_never_refused(where: list[int], parts: list[float], strategy: Strategy) -> None:
    """Replicas are put on nodes first, and the nodes made as large as that takes."""
    replicas = list(zip(where, parts, strict=False))
    placed = [Replica("m", ({"GPU": part, "CPU": 1.0},), strategy) for _, part in replicas]
    shares = [[part for home, part in replicas if home == place] for place in range(4)]
    there = nodes(*[math.ceil(sum(each)) for each in shares])
    assert is_placeable(placed, there)
    more_than_all = [Replica("more", ({"GPU": 1.0, "CPU": 1.0},), strategy)] * (len(where) + 1)
    assert not is_placeable(more_than_all, there)


def test_large_clusters_take_no_time() -> None:
    assert is_placeable([replica_of("m", hosted(2))] * 200, nodes(*[8] * 50))
    assert not is_placeable([replica_of("m", hosted(3))] * 17, nodes(*[8] * 8))


def test_engines_of_several_cards_are_deployed_first() -> None:
    models = {"half": hosted(bundle=HALF), "one": hosted(), "four": hosted(2, 2), "pair": hosted(2)}
    assert hardest_first(models) == ["pair", "one", "half", "four"]


def test_bundles_are_those_that_serve_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "locate_weights", lambda weights: weights.hub)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(runtime_env={}))
    for model in [hosted(2, 2, accelerator="A100"), hosted(bundle={"GPU": 0.4}), hosted(bundle={"CPU": 2.0})]:
        real: Any = model_deployment("m", llm_config("m", model))._replica_config
        ours = replica_of("m", model)
        assert [_without_zeros(each) for each in real.placement_group_bundles] == [*map(_without_zeros, ours.bundles)]
        assert real.placement_group_strategy == ours.strategy


def _without_zeros(bundle: Any) -> dict[str, float]:
    return {name: amount for name, amount in bundle.items() if amount}


class LiveCluster:
    """In Ray's place: nodes, and what an autoscaler reported."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.config: Any = None
        state = SimpleNamespace(get_cluster_config=lambda: self.config)
        monkeypatch.setattr(ray, "is_initialized", lambda: True)
        monkeypatch.setattr(ray, "nodes", lambda: self.nodes)
        monkeypatch.setattr(ray._private.state, "state", state)

    def add(self, resources: dict[str, float], group: str = "", *, alive: bool = True) -> None:
        labels = {"ray.io/node-group": group} if group else {}
        self.nodes.append({"Alive": alive, "Resources": resources, "Labels": labels})


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> LiveCluster:
    return LiveCluster(monkeypatch)


def test_without_ray_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    assert require_capacity(profile_of(m=hosted(64))) == []


def test_only_living_nodes_count(live: LiveCluster) -> None:
    live.add(node(2))
    assert require_capacity(profile_of(m=hosted(2))) == []
    live.nodes.clear()
    live.add(node(2), alive=False)
    live.add(node())
    with pytest.raises(ConfigError, match="0 GPU of 2"):
        require_capacity(profile_of(m=hosted(2)))


def test_where_nodes_may_be_added_by_others_it_warns(live: LiveCluster, caplog: pytest.LogCaptureFixture) -> None:
    live.add(node(), group="head")
    with caplog.at_level(logging.WARNING, logger="ray.serve"):
        [warning] = require_capacity(profile_of(m=hosted(2)))
    assert "0 GPU of 2" in warning
    assert "as soon as the cluster has grown" in warning


def test_what_an_autoscaler_reports_is_reckoned_with(live: LiveCluster) -> None:
    live.add(node(), group="head")
    live.add(node(2), group="gpu")
    group = SimpleNamespace(name="gpu", resources={"CPU": 16, "GPU": 2}, max_count=2)
    live.config = SimpleNamespace(node_group_configs=[group])
    assert require_capacity(profile_of(m=hosted(2, replicas=2))) == []
    with pytest.raises(ConfigError, match="do not fit together"):
        require_capacity(profile_of(m=hosted(2, replicas=3)))
    group.max_count = -1
    assert require_capacity(profile_of(m=hosted(2, replicas=3))) == []


def test_the_gpu_profile_fits_where_its_comment_says() -> None:
    profile = load_profile("gpu")
    check_placement(profile, nodes(2, 1, 1, 1))
    check_placement(profile, nodes(8))
    with pytest.raises(ConfigError, match="do not fit together"):
        check_placement(profile, nodes(2, 1, 1))
    with pytest.raises(ConfigError, match=r"deepseek-r1-7b.*on one node"):
        check_placement(profile, nodes(1, 1, 1, 1, 1))
