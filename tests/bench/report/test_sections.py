"""Sections of the report: systems, tasks, losses, costs and misroutes."""

from typing import Any

from coe_ray.bench.report import render_report
from coe_ray.bench.report.formatting import money, points
from coe_ray.bench.report.sections import best_by_task, ranked, scored_experts, tasks
from tests.bench.report.summaries import SET_A, Page, summary, system

SYSTEMS = {"low": system("low", 1), "down": system("down", 0, 0, failed=1), "b": system("b", 9), "a": system("a", 9)}


def test_coe_is_first_then_the_most_accurate_then_those_without_figures() -> None:
    systems = {**SYSTEMS, "coe": system("coe", 5)}
    assert list(ranked(systems)) == ["coe", "a", "b", "low", "down"]
    assert scored_experts(systems) == ["a", "b", "low"]


def test_tasks_are_in_the_classifiers_order_and_equals_are_all_best() -> None:
    whole = summary({**SYSTEMS, "coe": system("coe", 20)})
    assert tasks(whole) == list(SET_A)
    assert best_by_task(whole) == {task: {"a", "b"} for task in SET_A}


def test_the_confusion_matrix_has_counts_and_shares_of_the_row(run: dict[str, Any]) -> None:
    confusion = {"labels": ["x", "y", "unknown"], "matrix": [[3, 1, 0], [0, 0, 0]]}
    shown = Page(render_report({**run, "classifier": {**run["classifier"], "confusion": confusion}}))
    assert [row[:4] for row in shown.tables["Confusion matrix"]][-2:] == [["x", "3", "1", "0"], ["y", "0", "0", "0"]]
    shares = [value for name, value in shown.attributes if name == "style" and value and value.startswith("--share")]
    assert shares[:6] == ["--share:0.75", "--share:0.25", *["--share:0.0"] * 4]


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
    rows = {row[0]: row for row in Page(render_report(whole)).tables["Losses, table"]}
    assert rows["Classification"][1] == "+5.0"
    assert "Here it is a gain" in rows["Classification"][2]
    assert "add examples" not in rows["Classification"][2]
    assert "Split tasks" in rows["Mapping"][2]


def test_regret_is_sorted_by_its_size(run: dict[str, Any], shown: Page) -> None:
    cells = shown.column("Regret by task, table", "Regret")
    assert list(cells) == sorted(run["regret"], key=lambda task: (-run["regret"][task]["regret"], task))
    assert cells == {task: points(row["regret"]) for task, row in run["regret"].items()}


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


def test_misroutes_show_both_experts_and_the_right_answer(run: dict[str, Any], shown: Page) -> None:
    assert len(run["misroutes"]) > 4
    for each in run["misroutes"]:
        assert f"{each['task']}, taken for {each['label']} with confidence {each['confidence']:.2f}" in shown.text
        assert f"{each['asked']['expert']} was asked" in shown.text
        assert f"{each['meant']['expert']} would have been asked, as best at {each['task']}" in shown.text
    assert "the right answer" in shown.text


def test_long_texts_are_folded(run: dict[str, Any]) -> None:
    first = {**run["misroutes"][0], "text": "q" * 500}
    long = Page(render_report({**run, "misroutes": [first]}))
    assert "The whole text, 500 characters" in long.text
    assert "q" * 500 in long.text
    short = {**first, "text": "why?", **{name: {**first[name], "text": "(A)"} for name in ("asked", "meant")}}
    assert "details" not in Page(render_report({**run, "misroutes": [short]})).tags
