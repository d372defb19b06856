"""Check that nodes have room for the hosted models: each replica by itself, and all that are always up in sum.

What is refused can never be placed; what passes may still have to wait for free nodes.
"""

import logging
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import ray

from coe_ray.cluster.ray_internals import NodeGroup, autoscaler_node_groups
from coe_ray.core.errors import ConfigError
from coe_ray.profile.models import Strategy, VllmModel
from coe_ray.profile.profile import Profile

log = logging.getLogger("ray.serve")

Resources = Mapping[str, float]

_GROUP_LABEL = "ray.io/node-group"
"""Label of every node that Ray's cluster launcher or KubeRay started, and of no other."""

REPLICA_CPU = 1.0
"""CPUs of the replica's own process, in the first bundle; the default of `ray.serve.llm`."""

_ACCELERATOR = "accelerator_type:"
_ACCELERATOR_SHARE = 0.001
"""How much of a node's accelerator resource (1 for each node) a bundle asks for."""

_WHERE = {"STRICT_PACK": " on one node", "STRICT_SPREAD": " on a node each"}


@dataclass(frozen=True, slots=True)
class ReplicaPlacement:
    """The placement group of one replica. Only `STRICT_` strategies bind; the others are preferences."""

    bundles: tuple[Resources, ...]
    strategy: Strategy

    def __str__(self) -> str:
        """Such as `2 × {GPU: 1, CPU: 1} + {CPU: 1} on one node (STRICT_PACK)`; the replica's own CPU comes last."""
        first, *_ = self.bundles
        worker = {**first, "CPU": first["CPU"] - REPLICA_CPU}
        where = _WHERE.get(self.strategy, "") if len(self.bundles) > 1 else ""
        return f"{len(self.bundles)} × {_format(worker)} + {{CPU: 1}}{where} ({self.strategy})"

    def total(self) -> Counter[str]:
        """The resources of all bundles."""
        return _sum((bundle, 1) for bundle in self.bundles)


@dataclass(frozen=True, slots=True)
class Capacity:
    """The live nodes, and the node groups that an autoscaler may add (`count`: how many more)."""

    nodes: tuple[Resources, ...]
    groups: tuple[NodeGroup, ...] = ()

    def __str__(self) -> str:
        counts = Counter(_format(node) for node in self.nodes)
        live = [f"{count} × {node}" for node, count in counts.items()]
        addable = [
            f"{'any number of' if group.count is None else f'at most {group.count} ×'} {_format(group.resources)} "
            f"to be added ({group.name})"
            for group in self.groups
        ]
        return "; ".join([*live, *addable]) or "none"

    def counted_nodes(self, accelerator: str | None = None) -> Iterator[tuple[Resources, float]]:
        """Each node or group with its count. An autoscaler seldom reports which cards a group has: any will do then."""
        yield from ((node, 1) for node in self.nodes)
        for group in self.groups:
            reported = any(name.startswith(_ACCELERATOR) for name in group.resources)
            assumed = {_ACCELERATOR + accelerator: 1.0} if accelerator and not reported else {}
            yield {**group.resources, **assumed}, math.inf if group.count is None else group.count


def replica_placement(model: VllmModel) -> ReplicaPlacement:
    """The bundles as Serve asks for them: the accelerator is in each, the replica's own CPU in the first."""
    kind = {_ACCELERATOR + model.accelerator: _ACCELERATOR_SHARE} if model.accelerator else {}
    first, *others = [bundle | kind for bundle in model.bundles]
    first = first | {"CPU": first.get("CPU", 0.0) + REPLICA_CPU}
    return ReplicaPlacement((first, *others), model.placement_strategy)


def require_capacity(profile: Profile) -> list[str]:
    """Raises `ConfigError` where the cluster can never place what the profile wants hosted.

    Where a launcher may add nodes that it did not report, this warns instead and returns the warnings. Does nothing
    where this process is connected to no cluster.
    """
    if not ray.is_initialized():
        return []
    nodes = [node for node in ray.nodes() if node["Alive"]]
    groups = _addable_groups(nodes)
    try:
        check_placement(profile, Capacity(tuple(node["Resources"] for node in nodes), groups or ()))
    except ConfigError as error:
        if groups is not None or not any(_group_of(node) for node in nodes):
            raise
        warning = f"{error}. It starts as soon as the cluster has grown, if its launcher can add such nodes"
        log.warning(warning)
        return [warning]
    return []


def check_placement(profile: Profile, capacity: Capacity) -> None:
    """Raises `ConfigError` where one replica of a model, or all that are always up, can never be placed."""
    hosted = {name: model for name, model in profile.models.items() if isinstance(model, VllmModel)}
    placements = {name: replica_placement(model) for name, model in hosted.items()}
    always_up = {name: model.scaling.min_replicas for name, model in hosted.items() if model.scaling.min_replicas}
    room = {name: _count_replicas(placements[name], hosted[name].accelerator, capacity) for name in hosted}
    for name, placement in placements.items():
        if room[name] < 1:
            raise ConfigError(
                f"models.{name}: a replica needs {placement}, but {_explain_lack(placement, capacity)}. "
                f"The cluster has: {capacity}. Add such a node, or change this model's bundle or parallel sizes"
            )
    short = [f"there is room for {room[name]:g} of {name}" for name, count in always_up.items() if room[name] < count]
    short = short or _summed_shortage(
        _sum((placements[name].total(), count) for name, count in always_up.items()), capacity
    )
    if short:
        listed = ", ".join(f"{count} × {name}" for name, count in always_up.items())
        needs = "; ".join(f"{name} {placements[name]}" for name in always_up)
        raise ConfigError(
            f"models: the replicas that are always up ({listed}) do not fit together: {' and '.join(short)}. "
            f"A replica needs: {needs}. The cluster has: {capacity}. "
            "Add nodes, lower scaling.min_replicas, or share cards (bundle.GPU below 1)"
        )


def hardest_first(hosted: Mapping[str, VllmModel]) -> list[str]:
    """The models' names in the order to deploy them in: strict placements first, then by size.

    Ray places what comes first and never moves it, and it spreads replicas over the nodes: parts of cards that come
    before an engine of two whole ones take a card of every node away from it.
    """

    def difficulty(name: str) -> tuple[bool, float, float]:
        placement = replica_placement(hosted[name])
        total = placement.total()
        return placement.strategy.startswith("STRICT"), total["GPU"], total["CPU"]

    return sorted(hosted, key=difficulty, reverse=True)


def _count_replicas(placement: ReplicaPlacement, accelerator: str | None, capacity: Capacity) -> float:
    """An upper bound of the replicas that the nodes hold if nothing else runs there."""
    nodes = list(capacity.counted_nodes(accelerator))
    if placement.strategy == "STRICT_PACK":
        return _count_bundles(placement.total(), nodes)
    largest, smallest, needed = placement.bundles[0], placement.bundles[-1], len(placement.bundles)
    fitting = sum(count for node, count in nodes if _copies(smallest, node))
    if not _count_bundles(largest, nodes) or (placement.strategy == "STRICT_SPREAD" and fitting < needed):
        return 0
    return _count_bundles(smallest, nodes) // needed


def _count_bundles(bundle: Resources, nodes: Iterable[tuple[Resources, float]]) -> float:
    return sum(count * copies for node, count in nodes if (copies := _copies(bundle, node)))


def _copies(bundle: Resources, node: Resources) -> int:
    """How many of these bundles an empty node holds. A part of a GPU lies on one card."""

    def copies(name: str, amount: float) -> int:
        available = node.get(name, 0.0)
        if name == "GPU" and amount < 1:
            return int(available) * int(1 / amount + 1e-6)
        return int(available / amount + 1e-6)

    return min(copies(name, amount) for name, amount in bundle.items() if amount)


def _summed_shortage(wanted: Counter[str], capacity: Capacity) -> list[str]:
    """The resources of which the cluster has too little in all, in words."""
    available = _sum(capacity.counted_nodes())
    return [
        f"they need {amount:g} {name} of {available[name]:g}"
        for name, amount in wanted.items()
        if amount > available[name] + 1e-6 and not name.startswith(_ACCELERATOR)
    ]


def _sum(counted: Iterable[tuple[Resources, float]]) -> Counter[str]:
    """Each resource, summed over `(resources, count)`."""
    total = Counter[str]()
    for resources, count in counted:
        total.update({name: amount * count for name, amount in resources.items() if amount and count})
    return total


def _explain_lack(placement: ReplicaPlacement, capacity: Capacity) -> str:
    """Why not one replica fits, by the resource that is short."""
    nodes = [*capacity.nodes, *(group.resources for group in capacity.groups)]
    if not nodes:
        return "there is no node"
    together = placement.strategy == "STRICT_PACK"
    needed = placement.total() if together else placement.bundles[0]
    short = []
    for name, amount in needed.items():
        largest = max(node.get(name, 0.0) for node in nodes)
        if name.startswith(_ACCELERATOR):
            short += [f"no node has a {name.removeprefix(_ACCELERATOR)}"] if largest == 0 else []
        elif largest < amount:
            short.append(f"the largest node has {largest:g} {name} of {amount:g}")
    if short:
        return " and ".join(short)
    return "no node has all of that at once" if together else "the nodes have too little of it together"


def _format(resources: Resources) -> str:
    """Such as `{GPU: 1, CPU: 8, L4}`: without memory and the addresses that Ray counts as resources."""
    hidden = ("node:", "memory", "object_store_memory")
    shown = {name: amount for name, amount in resources.items() if not name.startswith(hidden) and amount}
    order = sorted(shown, key=lambda name: (name != "GPU", name != "CPU", name))
    parts = (
        f"{name}: {shown[name]:g}" if not name.startswith(_ACCELERATOR) else name[len(_ACCELERATOR) :] for name in order
    )
    return "{" + ", ".join(parts) + "}"


def _addable_groups(nodes: list[dict[str, Any]]) -> tuple[NodeGroup, ...] | None:
    """The nodes that the autoscaler reported it may still add; `None` where none reported (Ray's own does not yet)."""
    reported = autoscaler_node_groups()
    if reported is None:
        return None
    live = Counter(_group_of(node) for node in nodes)
    groups = [
        group if group.count is None else replace(group, count=max(0, group.count - live[group.name]))
        for group in reported
    ]
    return tuple(group for group in groups if group.count != 0)


def _group_of(node: dict[str, Any]) -> str:
    return str((node.get("Labels") or {}).get(_GROUP_LABEL, ""))
