"""Losses and regret: the figures, gains, and the order."""

from typing import Any

from coe_ray.bench.report import render_report
from coe_ray.bench.report.formatting import points
from coe_ray.bench.report.losses import loss_rows
from tests.bench.report.summaries import Page


def test_losses_lead_from_the_question_oracle_to_coe(run: dict[str, Any], shown: Page) -> None:
    lost = run["losses"]
    cells = {row[0]: row[1] for row in shown.tables["Losses, table"]}
    for name in ("extraction", "mapping", "unknown", "classification"):
        assert cells[name.capitalize()] == points(-lost[name])
    assert cells["Question oracle"] == f"{100 * lost['question_oracle']:.1f}"
    assert cells["CoE"] == f"{100 * lost['coe']:.1f}"


def test_a_loss_below_zero_is_called_a_gain(run: dict[str, Any]) -> None:
    won = {
        **run["losses"],
        "classification": -0.05,
        "coe": run["losses"]["task_oracle"] - run["losses"]["unknown"] + 0.05,
    }
    whole = {**run, "losses": won}
    rows = {row.name: row for row in loss_rows(whole)}
    assert (rows["Classification"].value, rows["Classification"].remedy) == ("+5.0", "")
    assert "Here it is a gain" in rows["Classification"].meaning
    assert rows["Mapping"].remedy
    assert "Here it is a gain" in Page(render_report(whole)).text


def test_regret_is_sorted_by_its_size(run: dict[str, Any], shown: Page) -> None:
    cells = shown.column("Regret by task, table", "Regret")
    assert list(cells) == sorted(run["regret"], key=lambda task: (-run["regret"][task]["regret"], task))
    assert cells == {task: points(row["regret"]) for task, row in run["regret"].items()}
