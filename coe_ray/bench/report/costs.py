"""Cost and accuracy of each system."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coe_ray.analysis.charts import CostPoint, pareto_front


@dataclass(frozen=True, slots=True)
class CostRow:
    """A system's cost for all questions that are compared."""

    name: str
    tokens: int
    cost: float | None
    accuracy: float | None
    on_front: bool


@dataclass(frozen=True, slots=True)
class Costs:
    """`in_money`: every system has a price; else tokens are compared. `points` are the systems that can be drawn."""

    rows: tuple[CostRow, ...]
    in_money: bool
    points: tuple[CostPoint, ...]


def costs(summary: Mapping[str, Any]) -> Costs | None:
    """The costs of all systems, the cheapest first; CoE pays its classifier and one expert a question."""
    systems = summary.get("costs")
    if not systems:
        return None
    prices = [system["cost"] for system in systems.values()]
    in_money = None not in prices and any(prices)
    unit = "cost" if in_money else "tokens"
    accuracy = {name: system.get("accuracy", summary["systems"][name]["accuracy"]) for name, system in systems.items()}
    points = [
        CostPoint(name, systems[name][unit], 100 * share) for name, share in accuracy.items() if share is not None
    ]
    front = pareto_front(points)
    rows = [
        CostRow(name, system["tokens"], system["cost"], accuracy[name], name in front)
        for name, system in sorted(systems.items(), key=lambda row: (row[1][unit], row[0]))
    ]
    return Costs(tuple(rows), in_money, tuple(points) if any(point.cost for point in points) else ())
