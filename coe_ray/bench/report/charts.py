"""Charts of the report, as SVG elements. The figures of each stand in a table beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from coe_ray.analysis.charts import (
    CostPoint,
    cost_chart,
    dot_chart,
    losses_chart,
    numbers_tasks,
    pareto_front,
    radar_chart,
    render_svg,
)
from coe_ray.bench.report import sections
from coe_ray.bench.report.formatting import percent, system_name
from coe_ray.bench.scoring import COE

DRAWN_EXPERTS = 3
"""Experts beside CoE in the radar chart: more than four lines are not told apart."""

RADAR_TASKS = range(3, 37)


def draw_difference(verdict: Mapping[str, Any]) -> str:
    """CoE's accuracy less the best single expert's."""
    low, value, high = (100 * verdict[name] for name in ("low", "difference", "high"))
    figure = dot_chart([""], {"difference": [value]}, [(low, high)], label="percentage points", zero=True)
    return render_svg(figure, "difference", "Difference with its 95% interval", "Its figures stand below.")


def draw_systems(systems: Mapping[str, Any]) -> str:
    """Accuracy and interval of each system; CoE's own interval is a band behind all."""
    ends = [_percents(system["ci95"]) for system in systems.values()]
    marks = {
        "CoE": [_percent(system["accuracy"]) if name == COE else None for name, system in systems.items()],
        "single expert": [_percent(system["accuracy"]) if name != COE else None for name, system in systems.items()],
    }
    figure = dot_chart([system_name(name) for name in systems], marks, ends, band=_percents(systems[COE]["ci95"]))
    title = "Accuracy of each system with its 95% interval"
    return render_svg(figure, "systems-chart", title, "Its figures stand in the table of systems.")


def draw_tasks(summary: Mapping[str, Any]) -> str:
    """CoE and the best few experts by task; with fewer than three tasks all systems, with intervals; or nothing."""
    tasks, systems = sections.tasks(summary), sections.ranked(summary["systems"])
    if len(tasks) in RADAR_TASKS:
        shown = [COE, *sections.scored_experts(systems)[:DRAWN_EXPERTS]]
        series = {
            f"{system_name(name)}, {percent(systems[name]['accuracy'])}%": [
                _percent(systems[name]["per_task"].get(task, {}).get("accuracy")) for task in tasks
            ]
            for name in shown
        }
        figure = radar_chart(tasks, series)
    elif tasks and len(tasks) < RADAR_TASKS.start:
        rows = [
            (f"{system_name(name)}: {task}", system["per_task"].get(task))
            for task in tasks
            for name, system in systems.items()
        ]
        rows = [(label, row) for label, row in rows if row]
        marks = {"accuracy": [_percent(row["accuracy"]) for _, row in rows]}
        figure = dot_chart([label for label, _ in rows], marks, [_percents(row["ci95"]) for _, row in rows])
    else:
        return ""
    return render_svg(figure, "tasks-chart", "Accuracy by task", "Its figures stand in the table below.")


def has_numbered_tasks(summary: Mapping[str, Any]) -> bool:
    """Whether the radar chart has numbers for names."""
    tasks = sections.tasks(summary)
    return len(tasks) in RADAR_TASKS and numbers_tasks(tasks)


def draw_losses(losses: Mapping[str, float]) -> str:
    title = "Losses from the question oracle down to CoE"
    return render_svg(losses_chart(losses, decimals=1), "losses-chart", title, "Its figures stand in the table beside.")


def draw_regret(regret: Mapping[str, Any]) -> str:
    """For each task CoE, the expert that is best at it, and the question oracle."""
    names = {"CoE": "coe", "best expert of the task": "best_single", "question oracle": "question_oracle"}
    marks = {name: [_percent(row[key]) for row in regret.values()] for name, key in names.items()}
    figure = dot_chart(
        list(regret), marks, [(100 * row["coe"], 100 * row["question_oracle"]) for row in regret.values()]
    )
    return render_svg(figure, "regret-chart", "Regret by task", "Its figures stand in the table beside.")


@dataclass(frozen=True, slots=True)
class Costs:
    """`in_money`: every system has a price; else tokens are compared. `points` are the systems that can be drawn.

    `rows` are (name, tokens and cost, accuracy, whether it is on the Pareto front), the cheapest first.
    """

    rows: tuple[tuple[str, Mapping[str, Any], float | None, bool], ...]
    in_money: bool
    points: tuple[CostPoint, ...]


def costs(summary: Mapping[str, Any]) -> Costs | None:
    """The costs of all systems; CoE pays its classifier and one expert a question."""
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
    cheapest_first = sorted(systems, key=lambda name: (systems[name][unit], name))
    rows = tuple((name, systems[name], accuracy[name], name in front) for name in cheapest_first)
    return Costs(rows, in_money, tuple(points) if any(point.cost for point in points) else ())


def draw_costs(costs: Costs) -> str:
    points = [point if point.name != COE else replace(point, name="CoE") for point in costs.points]
    figure = cost_chart(points, "cost" if costs.in_money else "tokens", highlighted="CoE")
    title = "Cost against accuracy with the Pareto front"
    return render_svg(figure, "costs-chart", title, "Its figures stand in the table beside.")


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction


def _percents(ends: Sequence[float] | None) -> tuple[float, float] | None:
    return None if ends is None else (100 * ends[0], 100 * ends[1])
