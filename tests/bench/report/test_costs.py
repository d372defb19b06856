"""Costs: in money where every system has a price, else in tokens; and the Pareto front."""

from typing import Any

from coe_ray.bench.report import render_report
from coe_ray.bench.report.formatting import money
from tests.bench.report.summaries import Page


def test_costs_say_which_system_is_on_the_front(run: dict[str, Any], shown: Page) -> None:
    rows = shown.column("Cost and accuracy, table", "On the front")
    cost = shown.column("Cost and accuracy, table", "Cost")
    assert cost == {"CoE" if name == "coe" else name: money(each["cost"]) for name, each in run["costs"].items()}
    assert rows["smollm2-135m"] == "yes"  # the cheapest
    best = max(run["costs"], key=lambda name: (run["costs"][name]["accuracy"], -run["costs"][name]["cost"]))
    assert rows["CoE" if best == "coe" else best] == "yes"
    assert set(rows.values()) == {"yes", "no"}


def test_without_all_prices_tokens_are_compared(run: dict[str, Any]) -> None:
    costs = {**run["costs"], "smollm2-135m": {**run["costs"]["smollm2-135m"], "cost": None}}
    text = Page(render_report({**run, "costs": costs})).text
    assert "In tokens, as not every system has a price" in text
    assert "tokens →" in text


def test_without_tokens_no_cost_is_drawn(run: dict[str, Any]) -> None:
    costs = {name: {"tokens": 0, "cost": None} for name in run["costs"]}
    assert "No tokens were counted." in Page(render_report({**run, "costs": costs})).text
