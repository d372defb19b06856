"""Metrics: hand-made cases, the interval against scipy's, and what holds for every possible run."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from coe_ray.analysis.metrics import Graded, classifier_metrics, grade, system_metrics
from coe_ray.core.types import UNKNOWN, Outcome

TASKS = ("Build", "Code", "Test")


def graded(
    letter: str | None, answer: str = "A", *, task: str = "Build", refused: bool = False, failed: bool = False
) -> Graded:
    outcome = grade(letter, answer, refused=refused, failed=failed)
    return Graded(task, answer, letter, outcome)


def figures(rows: Sequence[Graded]) -> dict[str, Any]:
    return dict(system_metrics(rows))


def classified(*pairs: tuple[str, str]) -> dict[str, Any]:
    return dict(classifier_metrics(pairs, TASKS))


@pytest.mark.parametrize(
    ("letter", "refused", "failed", "outcome"),
    [
        ("A", False, False, "correct"),
        ("B", False, False, "wrong"),
        (None, False, False, "unparsed"),
        (None, True, False, "refused"),
        ("A", True, False, "refused"),
        (None, False, True, "failed"),
        ("A", True, True, "failed"),
    ],
)
def test_grade(letter: str | None, refused: bool, failed: bool, outcome: Outcome) -> None:
    assert grade(letter, "A", refused=refused, failed=failed) == outcome


def test_four_ways_to_miss_are_counted_apart_and_only_failures_leave_the_denominator() -> None:
    rows = [graded("A"), graded("B"), graded(None), graded(None, refused=True), graded(None, failed=True)]
    result = figures(rows)
    assert result["accuracy"] == 1 / 4
    counts = {name: result[name] for name in ("correct", "wrong", "unparsed", "refused", "failed")}
    assert counts == dict.fromkeys(counts, 1)
    assert result["complete"] is False


def test_precision_recall_and_f1_are_weighted_by_class_size() -> None:
    # By hand. A, thrice true: precision 1, recall 2/3, F1 4/5. B, once true: precision 1/2, recall 1, F1 2/3.
    result = figures([graded("A"), graded("A"), graded("B"), graded("B", "B")])
    assert result["precision"] == pytest.approx((3 * 1 + 1 / 2) / 4)
    assert result["recall"] == pytest.approx((3 * 2 / 3 + 1) / 4)
    assert result["f1"] == pytest.approx((3 * 4 / 5 + 2 / 3) / 4)
    assert result["complete"] is True


def test_an_unparsed_answer_costs_recall_and_not_precision() -> None:
    result = figures([graded("A"), graded(None)])
    assert (result["precision"], result["recall"]) == (1.0, 0.5)


def test_a_letter_inside_a_refusal_is_no_prediction() -> None:
    result = figures([graded("A"), graded("A", refused=True)])
    assert (result["accuracy"], result["recall"]) == (0.5, 0.5)


def test_a_letter_that_is_never_right_weighs_nothing() -> None:
    result = figures([graded("A"), graded("D")])
    assert (result["precision"], result["recall"]) == (1.0, 0.5)


@pytest.mark.parametrize("letter", ["A", "B", None])
def test_one_class_alone(letter: str | None) -> None:
    result = figures([graded(letter)] * 3)
    expected = 1.0 if letter == "A" else 0.0
    assert [result[name] for name in ("accuracy", "precision", "recall", "f1")] == [expected] * 4


@pytest.mark.parametrize("rows", [[], [graded(None, failed=True)] * 3], ids=["no rows", "all failed"])
def test_without_anything_scored_there_are_no_figures(rows: list[Graded]) -> None:
    result = figures(rows)
    assert {result[name] for name in ("accuracy", "ci95", "precision", "recall", "f1")} == {None}
    assert result["failed"] == len(rows)
    assert result["complete"] is (not rows)


def test_per_task_totals_are_what_accuracy_is_over() -> None:
    rows = [graded("A"), graded("B"), graded(None, failed=True), graded(None, task="Code", failed=True)]
    per_task = figures(rows)["per_task"]
    assert list(per_task) == ["Build", "Code"]
    build, code = per_task["Build"], per_task["Code"]
    assert (build["accuracy"], build["correct"], build["total"], build["failed"]) == (0.5, 1, 2, 1)
    assert code == {"accuracy": None, "ci95": None, "correct": 0, "total": 0, "failed": 1}


@pytest.mark.parametrize(("correct", "total"), [(0, 1), (1, 1), (0, 40), (40, 40), (7, 9), (433, 1250)])
def test_the_interval_is_wilsons(correct: int, total: int) -> None:
    ours = figures([graded("A")] * correct + [graded("B")] * (total - correct))["ci95"]
    scipys = binomtest(correct, total).proportion_ci(method="wilson")
    assert ours == pytest.approx([scipys.low, scipys.high], abs=1e-12)


def test_unknown_is_a_named_class_without_true_members() -> None:
    result = classified(("Build", "Build"), ("Build", UNKNOWN), ("Code", "Build"), ("Code", "Code"))
    assert (result["accuracy"], result["total"]) == (0.5, 4)
    assert (result["precision"], result["recall"]) == (0.75, 0.5)  # Build: 1 of 2 named right; Code: 1 of 1
    assert result["confusion"] == {
        "labels": ["Build", "Code", "Test", "unknown"],
        "matrix": [[1, 0, 0, 1], [1, 1, 0, 0], [0, 0, 0, 0]],
    }


def test_a_classifier_that_was_never_asked_has_no_figures() -> None:
    result = classified()
    assert {result[name] for name in ("accuracy", "ci95", "precision", "recall", "f1")} == {None}
    assert (result["total"], result["confusion"]["matrix"]) == (0, [[0] * 4] * 3)


@pytest.mark.parametrize("pair", [("Plan", "Build"), ("Build", "Plan"), (UNKNOWN, UNKNOWN)])
def test_a_label_outside_the_matrix_is_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="are not among the tasks"):
        classified(pair)


def numbers(value: object) -> list[float]:
    """Every fraction in a result, wherever it hides."""
    if isinstance(value, dict):
        return [number for inner in value.values() for number in numbers(inner)]
    if isinstance(value, list):
        return [number for inner in value for number in numbers(inner)]
    return [value] if isinstance(value, float) else []


letters = st.sampled_from("ABCD")
any_row = st.builds(
    graded,
    st.none() | letters,
    letters,
    task=st.sampled_from(TASKS),
    refused=st.booleans(),
    failed=st.booleans(),
)


@given(st.lists(any_row, max_size=25))
@settings(max_examples=60, deadline=None)
def test_counts_add_up_and_figures_are_fractions(rows: list[Graded]) -> None:
    result = figures(rows)
    json.dumps(result, allow_nan=False)
    assert all(0 <= number <= 1 for number in numbers(result))
    assert sum(result[name] for name in ("correct", "wrong", "unparsed", "refused", "failed")) == len(rows)
    tasks = result["per_task"].values()
    assert sum(task["total"] + task["failed"] for task in tasks) == len(rows)
    assert sum(task["correct"] for task in tasks) == result["correct"]
    assert result["recall"] == pytest.approx(result["accuracy"])


@given(st.lists(st.tuples(st.sampled_from(TASKS), st.sampled_from([*TASKS, UNKNOWN])), max_size=25))
@settings(max_examples=60, deadline=None)
def test_the_matrix_holds_every_pair(pairs: list[tuple[str, str]]) -> None:
    result = classified(*pairs)
    json.dumps(result, allow_nan=False)
    assert all(0 <= number <= 1 for number in numbers(result))
    assert sum(map(sum, result["confusion"]["matrix"])) == result["total"] == len(pairs)
    assert result["recall"] == pytest.approx(result["accuracy"])
