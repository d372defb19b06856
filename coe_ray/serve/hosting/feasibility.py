"""Whether nodes have room for the replicas of the hosted models, by the rules of Ray's placement groups.

Pure: nothing here asks a cluster. What is refused could not be placed in any order; what passes may still have to wait
for others that use the same nodes.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from coe_ray.core.errors import ConfigError
from coe_ray.profile.models import Strategy, VllmModel
from coe_ray.profile.profile import Profile

Resources = Mapping[str, float]

REPLICA_CPU = 1.0
"""What the replica's own process takes, in the first bundle; `ray.serve.llm`'s default."""

_ACCELERATOR = "accelerator_type:"
_TRACE = 0.001
"""How much of its accelerator's resource a bundle asks for; a node has 1."""

_STEPS = 50_000
"""Of a search without a result: then nothing is known, and nothing refused."""

_WHERE: dict[Strategy, str] = {
    "STRICT_PACK": " on one node",
    "STRICT_SPREAD": " on a node each",
    "PACK": "",
    "SPREAD": "",
}


@dataclass(frozen=True, slots=True)
class Replica:
    """What one replica of a model asks Ray for. Only `STRICT_` strategies bind; the others are wishes."""

    model: str
    bundles: tuple[Resources, ...]
    strategy: Strategy

    def __str__(self) -> str:
        """Such as `2 × {GPU: 1, CPU: 1} + {CPU: 1} on one node (STRICT_PACK)`; the replica's own CPU comes last."""
        first, *_ = self.bundles
        worker = {**first, "CPU": first["CPU"] - REPLICA_CPU}
        where = _WHERE[self.strategy] if len(self.bundles) > 1 else ""
        return f"{len(self.bundles)} × {_listed(worker)} + {{CPU: 1}}{where} ({self.strategy})"


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """A kind of node that an autoscaler may add: what each has, and how many more (`None`: no limit)."""

    name: str
    resources: Resources
    count: int | None


@dataclass(frozen=True, slots=True)
class Capacity:
    """The live nodes, and what an autoscaler could add to them."""

    nodes: tuple[Resources, ...]
    groups: tuple[NodeGroup, ...] = ()

    def __str__(self) -> str:
        counted = Counter(_listed(node) for node in self.nodes)
        live = [f"{count} × {listed}" for listed, count in counted.items()]
        more = [
            f"{'any number of' if group.count is None else f'at most {group.count} ×'} {_listed(group.resources)} "
            f"to be added ({group.name})"
            for group in self.groups
        ]
        return "; ".join([*live, *more]) or "none"


def replica_of(name: str, model: VllmModel) -> Replica:
    """The bundles as Serve asks for them: the accelerator is in each, the replica's own CPU in the first."""
    kind = {_ACCELERATOR + model.accelerator: _TRACE} if model.accelerator else {}
    first, *others = [bundle | kind for bundle in model.bundles]
    first = first | {"CPU": first.get("CPU", 0.0) + REPLICA_CPU}
    return Replica(name, (first, *others), model.placement_strategy)


def check_placement(profile: Profile, capacity: Capacity) -> None:
    """Raises `ConfigError` where one replica of a model, or all that must always be up, can never be placed."""
    hosted = {name: model for name, model in profile.models.items() if isinstance(model, VllmModel)}
    for name, model in hosted.items():
        replica = replica_of(name, model)
        if not is_placeable([replica], capacity):
            raise ConfigError(
                f"models.{name}: a replica needs {replica}, but {_lack(replica, capacity)}. "
                f"The cluster has: {capacity}. Add such a node, or change this model's bundle or parallel sizes"
            )
    wanted = [replica_of(name, model) for name, model in hosted.items() for _ in range(model.scaling.min_replicas)]
    if not is_placeable(wanted, capacity):
        each = ", ".join(f"{count} × {name}" for name, count in Counter(replica.model for replica in wanted).items())
        needs = "; ".join(f"{name} {replica_of(name, hosted[name])}" for name in {each.model: None for each in wanted})
        raise ConfigError(
            f"models: the replicas that are always up ({each}) do not fit together. A replica needs: {needs}. "
            f"The cluster has: {capacity}. Add nodes, lower scaling.min_replicas, or share cards (bundle.GPU below 1)"
        )


def hardest_first(hosted: Mapping[str, VllmModel]) -> list[str]:
    """Their names in the order to deploy them in.

    Ray places what comes first and never moves it, and it spreads replicas over the nodes: parts of cards that come
    before an engine of two whole ones take a card of every node away from it.
    """
    return sorted(hosted, key=lambda name: _hardness(replica_of(name, hosted[name])), reverse=True)


def is_placeable(replicas: Iterable[Replica], capacity: Capacity) -> bool:
    """Whether all of them can lie on the nodes at once; true where it takes too long to find out."""
    hardest_first = sorted(replicas, key=_hardness, reverse=True)
    parts = [
        _Part(number, bundle, each.strategy) for number, each in enumerate(hardest_first) for bundle in each.bundles
    ]
    nodes = tuple(_all_nodes(capacity, parts))
    return _sums_suffice(parts, nodes) and _Search(parts).succeeds(nodes)


def _sums_suffice(parts: "list[_Part]", nodes: "tuple[_Node, ...]") -> bool:
    """Whether there is enough of each resource in all: the quick answer to most profiles that ask for too much."""
    wanted, there = Counter[str](), Counter[str]()
    for part in parts:
        wanted.update(part.bundle)
    for node in nodes:
        there.update({"GPU": len(node.cards), **dict(node.other)})
    return all(_rest(there[name], amount) >= 0 for name, amount in wanted.items())


def _hardness(replica: Replica) -> tuple[bool, float, float]:
    total = sum(bundle.get("GPU", 0.0) for bundle in replica.bundles)
    return replica.strategy.startswith("STRICT"), total, sum(bundle.get("CPU", 0.0) for bundle in replica.bundles)


@dataclass(frozen=True, slots=True)
class _Part:
    """One bundle of the replica with this number."""

    replica: int
    bundle: Resources
    strategy: Strategy


@dataclass(frozen=True, slots=True)
class _Node:
    """What is free: part by part of each GPU, as a bundle lies on one card, and the sum of everything else."""

    cards: tuple[float, ...]
    other: tuple[tuple[str, float], ...]

    @classmethod
    def of(cls, resources: Resources) -> "_Node":
        other = {name: float(amount) for name, amount in resources.items() if name != "GPU"}
        return cls((1.0,) * int(resources.get("GPU", 0)), tuple(sorted(other.items())))

    def with_bundle(self, bundle: Resources) -> Iterator["_Node"]:
        """This node after the bundle was put on it, once for each card that differs; nothing where it does not fit."""
        free = dict(self.other)
        for name, amount in bundle.items():
            if name != "GPU" and amount:
                free[name] = _rest(free.get(name, 0.0), amount)
        if min(free.values(), default=0.0) < 0:
            return
        after = replace(self, other=tuple(sorted(free.items())))
        gpu = bundle.get("GPU", 0.0)
        if not gpu:
            yield after
            return
        for card in dict.fromkeys(self.cards):
            if (left := _rest(card, gpu)) >= 0:
                others = list(self.cards)
                others.remove(card)
                yield replace(after, cards=tuple(sorted([*others, left])))


def _rest(free: float, amount: float) -> float:
    return round(free - amount, 4)  # Ray counts in ten-thousandths


class _Search:
    """Tries every way to place the parts, one after the other; what comes to the same is tried once."""

    def __init__(self, parts: list[_Part]) -> None:
        self._parts = parts
        self._steps = _STEPS
        self._tried: set[tuple[object, ...]] = set()

    def succeeds(self, nodes: tuple[_Node, ...]) -> bool:
        """By depth first, without recursion: there may be more parts than Python has frames."""
        open_ends: list[Iterator[_State]] = [iter([_State(nodes, frozenset())])]
        while open_ends and self._steps:
            self._steps -= 1
            state = next(open_ends[-1], None)
            if state is None:
                open_ends.pop()
            elif len(open_ends) > len(self._parts):
                return True
            else:
                open_ends.append(self._next_states(state, len(open_ends) - 1))
        return self._steps == 0

    def _next_states(self, state: "_State", number: int) -> Iterator["_State"]:
        part = self._parts[number]
        continued = number > 0 and self._parts[number - 1].replica == part.replica
        used = state.used if continued else frozenset()
        for place, node in enumerate(state.nodes):
            if not _allowed(part.strategy, place, used):
                continue
            for after in node.with_bundle(part.bundle):
                nodes = (*state.nodes[:place], after, *state.nodes[place + 1 :])
                if (new := _State(nodes, used | {place})).shape(number) not in self._tried:
                    self._tried.add(new.shape(number))
                    yield new


@dataclass(frozen=True, slots=True)
class _State:
    """All nodes, and the places of those that the current replica lies on."""

    nodes: tuple[_Node, ...]
    used: frozenset[int]

    def shape(self, number: int) -> tuple[object, ...]:
        """Equal for states that differ only in which of two like nodes has what."""
        return number, *sorted((node.cards, node.other, place in self.used) for place, node in enumerate(self.nodes))


def _allowed(strategy: Strategy, place: int, used: frozenset[int]) -> bool:
    match strategy:
        case "STRICT_PACK":
            return not used or place in used
        case "STRICT_SPREAD":
            return place not in used
        case _:
            return True


def _all_nodes(capacity: Capacity, parts: list[_Part]) -> Iterator[_Node]:
    """The live nodes and as many of each group as could be of use."""
    kinds = {name for part in parts for name in part.bundle if name.startswith(_ACCELERATOR)}
    for node in capacity.nodes:
        yield _Node.of(node)
    for group in capacity.groups:
        count = len(parts) if group.count is None else min(group.count, len(parts))
        # An autoscaler's configuration seldom says which cards a node will have.
        silent = group.resources.get("GPU") and not any(name.startswith(_ACCELERATOR) for name in group.resources)
        guessed = dict.fromkeys(kinds, 1.0) if silent else {}
        yield from [_Node.of({**group.resources, **guessed})] * count


def _lack(replica: Replica, capacity: Capacity) -> str:
    """Why not one replica fits, in the words of the resource that is short."""
    nodes = [*capacity.nodes, *(group.resources for group in capacity.groups)]
    if not nodes:
        return "there is no node"
    together = replica.strategy == "STRICT_PACK"
    short = []
    for name in dict.fromkeys(key for bundle in replica.bundles for key in bundle):
        amounts = [bundle.get(name, 0.0) for bundle in replica.bundles]
        needed = sum(amounts) if together else max(amounts)
        most = max(node.get(name, 0.0) for node in nodes)
        if name.startswith(_ACCELERATOR):
            short += [f"no node has a {name.removeprefix(_ACCELERATOR)}"] if most == 0 else []
        elif most < needed:
            short.append(f"the largest node has {most:g} {name} of {needed:g}")
    if short:
        return " and ".join(short)
    return "no node has all of that at once" if together else "the nodes have too little of it together"


def _listed(resources: Resources) -> str:
    """Such as `{GPU: 1, CPU: 8, L4}`: without memory and the addresses that Ray counts as resources."""
    hidden = ("node:", "memory", "object_store_memory")
    shown = {name: amount for name, amount in resources.items() if not name.startswith(hidden) and amount}
    order = sorted(shown, key=lambda name: (name != "GPU", name != "CPU", name))
    return "{" + ", ".join(_amount(name, shown[name]) for name in order) + "}"


def _amount(name: str, amount: float) -> str:
    return name.removeprefix(_ACCELERATOR) if name.startswith(_ACCELERATOR) else f"{name}: {amount:g}"
