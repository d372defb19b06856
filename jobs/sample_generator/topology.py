"""Small service dependency graphs for the root-cause questions.

Names carry no hint of a role and are dealt at random, so the cause cannot be guessed from a name.
"""

from dataclasses import dataclass

from jobs.sample_generator.drafts import Dice

NAMES = (
    "basket",
    "pricing",
    "search",
    "profile",
    "catalog",
    "shipping",
    "coupons",
    "inbox",
    "billing",
    "sessions",
    "reviews",
    "media",
    "quotes",
    "stock",
    "tickets",
    "geo-lookup",
    "fraud-check",
    "tax-rules",
    "auth-gate",
    "ledger",
    "points",
    "alerts-hub",
    "feed",
    "maps",
)


@dataclass(frozen=True)
class Graph:
    """Services in caller-before-callee order and the (caller, callee) pairs between them."""

    names: tuple[str, ...]
    calls: tuple[tuple[str, str], ...]

    @staticmethod
    def chain(dice: Dice, length: int, aside: int) -> "Graph":
        """Build a chain of calls plus some services calling one another outside it."""
        names = tuple(dice.sample(NAMES, length + aside))
        pairs = [(names[k], names[k + 1]) for k in range(len(names) - 1) if k != length - 1]
        return Graph(names, tuple(pairs))

    def callers(self, name: str) -> set[str]:
        """Return the service and all that depend on it, directly or not."""
        reachable = {name}
        for caller, callee in sorted(self.calls, key=lambda pair: -self.names.index(pair[1])):
            if callee in reachable:
                reachable.add(caller)
        return reachable

    def needs(self, name: str) -> set[str]:
        """Return the service and all it depends on, directly or not."""
        return {other for other in self.names if name in self.callers(other)}

    def deep(self) -> list[str]:
        """Return services with at least two others above them and at least one healthy one left."""
        return [name for name in self.names if 3 <= len(self.callers(name)) <= len(self.names) - 2]


def random_graph(dice: Dice, size: int) -> Graph:
    """Draw an acyclic graph in which every service but the entry has one or two callers."""
    names = tuple(dice.sample(NAMES, size))
    calls = set()
    for place in range(1, size):
        # Near callers make the graph deep rather than a star around the entry.
        for _ in range(dice.pick((1, 1, 2))):
            calls.add((names[dice.between(max(0, place - 3), place - 1)], names[place]))
    return Graph(names, tuple(sorted(calls)))


def edges(dice: Dice, graph: Graph) -> str:
    """Print the calls of a graph in random order, grouped by caller."""
    arrow = dice.pick((" -> ", " calls ", " depends on "))
    groups = []
    for caller in dice.shuffled(sorted({pair[0] for pair in graph.calls})):
        groups.append(caller + arrow + ", ".join(dice.shuffled([b for a, b in graph.calls if a == caller])))
    return "; ".join(groups)


def clock(minute: int) -> str:
    """Print a minute of the day."""
    return f"{minute // 60 % 24:02d}:{minute % 60:02d}"
