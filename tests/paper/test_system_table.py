"""Tables of systems: what stands where, in percent, with the paper's accuracy beside ours."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.analysis.tables import Table, format_markdown, format_text
from coe_ray.paper.latex import format_latex
from coe_ray.paper.published import TABLES, Published
from coe_ray.paper.system_table import SystemRow, system_table
from tests.support.names import NAMES

SCORES = {"accuracy": 0.70493, "ci95": (0.6805, 0.7281), "precision": 0.7229, "recall": 0.70493, "f1": 0.7131}
PRINTED = Published(70.49, 72.29, 70.49, 71.31)


def make_table(*rows: SystemRow, notes: tuple[str, ...] = ()) -> Table:
    return system_table("Title", "What it shows.", rows, notes)


def scores(accuracy: float) -> dict[str, Any]:
    return {**dict.fromkeys(("accuracy", "precision", "recall", "f1"), accuracy), "ci95": (accuracy, accuracy)}


def test_figures_are_in_percent_with_two_decimals_and_the_papers_accuracy_beside() -> None:
    row = make_table(SystemRow("CoE", SCORES, PRINTED)).rows[0]
    assert row == ("CoE", "70.49 (68.05–72.81)", "72.29", "70.49", "71.31", "70.49", "+0.00")


def test_where_there_is_nothing_is_a_dash() -> None:
    assert make_table(SystemRow("CoE", {}, None)).rows[0] == ("CoE", *"––––––")


def test_what_only_the_paper_has_is_shown_without_a_difference() -> None:
    assert make_table(SystemRow("CoE", {}, PRINTED)).rows[0] == ("CoE", "–", "–", "–", "–", "70.49", "–")


def test_an_accuracy_without_an_interval_stands_alone() -> None:
    assert make_table(SystemRow("random", {"accuracy": 0.2, "ci95": None}, Published(20.0))).rows[0][1:] == (
        "20.00",
        *"–––",
        "20.00",
        "+0.00",
    )


@pytest.mark.parametrize(
    ("accuracy", "shown"),
    [(0.75, "+4.51"), (0.5, "−20.49"), (0.704899, "+0.00"), (0.70491, "+0.00"), (0.7048, "−0.01")],
)
def test_the_difference_is_signed_and_never_a_negative_zero(accuracy: float, shown: str) -> None:
    assert make_table(SystemRow("CoE", scores(accuracy), PRINTED)).rows[0][-1] == shown


def test_the_best_accuracy_is_bold_and_a_bound_never() -> None:
    table = make_table(
        SystemRow("a", scores(0.5), None),
        SystemRow("b", scores(0.6), None),
        SystemRow("o", scores(1), None, bound=True),
    )
    assert table.strong == {(1, 1)}
    assert "| b | **60.00 (60.00–60.00)** |" in format_markdown(table)
    assert r"b & \textbf{60.00 (60.00--60.00)} &" in format_latex(table)
    assert "*" not in format_text(table)


def test_equals_are_all_best() -> None:
    assert make_table(SystemRow("a", scores(0.5), None), SystemRow("b", scores(0.5), None)).strong == {(0, 1), (1, 1)}


def test_alone_nothing_is_best() -> None:
    assert not make_table(SystemRow("a", scores(0.5), None), SystemRow("b", {}, PRINTED)).strong


def test_a_note_stands_once_after_the_names_that_it_is_about() -> None:
    missing = (SystemRow(name, {}, PRINTED, note="not run") for name in "ab")
    table = make_table(*missing, SystemRow("c", SCORES, None, note="cut off"), notes=("All at once.",))
    assert table.notes == ("All at once.", "a, b: not run", "c: cut off")
    for page in (format_markdown(table), format_latex(table), format_text(table)):
        assert page.index("All at once.") < page.index("a, b: not run") < page.index("c: cut off")


@pytest.mark.parametrize("numeral", TABLES)
def test_every_table_of_the_paper_can_be_written(numeral: str) -> None:
    rows = [SystemRow(name, SCORES, row) for name, row in TABLES[numeral].rows.items()]
    for write in (format_markdown, format_latex, format_text):
        assert write(make_table(*rows)).count("68.05") == len(rows)


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_a_table_of_scores_is_never_in_two_parts(names: list[str]) -> None:
    page = format_text(make_table(*(SystemRow(name, SCORES, PRINTED) for name in names)))
    assert page.count("(68.05–72.81)") == len(names)
    assert page.count("Acc % (95% CI)") == 1
