"""Figures of systems: the order, the best of each task, and the confusion matrix by row."""

from coe_ray.bench.report.systems import best_by_task, confusion_rows, ranked, scored_experts, tasks
from tests.bench.report.summaries import SET_A, summary, system

SYSTEMS = {"low": system("low", 1), "down": system("down", 0, 0, failed=1), "b": system("b", 9), "a": system("a", 9)}


def test_coe_is_first_then_the_most_accurate_then_those_without_figures() -> None:
    systems = {**SYSTEMS, "coe": system("coe", 5)}
    assert list(ranked(systems)) == ["coe", "a", "b", "low", "down"]
    assert scored_experts(systems) == ["a", "b", "low"]


def test_tasks_are_in_the_classifiers_order_and_equals_are_all_best() -> None:
    whole = summary({**SYSTEMS, "coe": system("coe", 20)})
    assert tasks(whole) == list(SET_A)
    assert best_by_task(whole) == {task: {"a", "b"} for task in SET_A}


def test_shares_are_of_the_row() -> None:
    rows = confusion_rows({"labels": ["x", "y", "unknown"], "matrix": [[3, 1, 0], [0, 0, 0]]})
    assert [(cell.count, cell.share, cell.right) for cell in rows["x"]] == [
        (3, 0.75, True),
        (1, 0.25, False),
        (0, 0, False),
    ]
    assert [cell.share for cell in rows["y"]] == [0, 0, 0]
