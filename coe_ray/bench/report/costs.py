"""What each system costs for how many right answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coe_ray.bench.report.scatter import Offer, Scatter, pareto, scatter


@dataclass(frozen=True, slots=True)
class CostRow:
    """What a system costs for all questions that are compared."""

    name: str
    tokens: int
    cost: float | None
    accuracy: float | None
    on_front: bool


@dataclass(frozen=True, slots=True)
class Costs:
    """`in_money`: every system has a price; else tokens are compared. `drawing` is None where nothing was counted."""

    rows: tuple[CostRow, ...]
    in_money: bool
    drawing: Scatter | None


def costs(summary: Mapping[str, Any]) -> Costs | None:
    """CoE pays its classifier and one expert a question."""
    found = summary.get("costs")
    if not found:
        return None
    in_money = all(each["cost"] is not None for each in found.values()) and any(each["cost"] for each in found.values())
    unit = "cost" if in_money else "tokens"
    accuracy = {name: each.get("accuracy", summary["systems"][name]["accuracy"]) for name, each in found.items()}
    offers = [Offer(name, found[name][unit], right) for name, right in accuracy.items() if right is not None]
    front = pareto(offers)
    rows = [
        CostRow(name, each["tokens"], each["cost"], accuracy[name], name in front)
        for name, each in sorted(found.items(), key=lambda each: (each[1][unit], each[0]))
    ]
    return Costs(tuple(rows), in_money, scatter(offers) if any(offer.cost for offer in offers) else None)
