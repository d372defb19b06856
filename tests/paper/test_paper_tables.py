"""Tables of a study: which there are, what they hold, and the paper's numbers beside ours."""

from dataclasses import replace

import pytest

from coe_ray.analysis.tables import Table, format_markdown, format_text
from coe_ray.paper.findings import COE, MAJORITY, QUESTION_ORACLE, TASK_ORACLE, Findings
from coe_ray.paper.paper_tables import accuracy_by_task, expert_set, main_label, make_tables, summary
from tests.paper.planted import LABEL, SKILL, TASKS
from tests.paper.test_findings import accuracy


def table_of(findings: Findings, title: str) -> Table:
    return next(table for table in make_tables(findings) if table.title.startswith(title))


def test_every_system_is_in_the_tables_and_in_plain_data(findings: Findings) -> None:
    written = "\n".join(map(format_markdown, make_tables(findings)))
    for name in (*SKILL, "large", COE + LABEL, TASK_ORACLE, QUESTION_ORACLE, MAJORITY, "random-coe", "fewer"):
        assert name.replace("_", r"\_") in written
    assert all(format_text(table) for table in make_tables(findings))
    assert summary(findings)["protocols"]["paper"]["losses"][LABEL]["coe"] == pytest.approx(
        accuracy(findings.by_protocol["paper"].systems[COE + LABEL].metrics)
    )


def test_each_protocol_has_its_tables_and_the_rest_is_there_once(findings: Findings) -> None:
    kinds = [table.title.partition(" – ")[0] for table in make_tables(findings)]
    by_protocol = ["Effectiveness", "Efficiency", "Comparisons", "Losses", "Routing regret"]
    assert kinds == [*by_protocol, *by_protocol, "Task classification", "Accuracy by task", "Scenarios"]


@pytest.mark.parametrize(
    ("profile", "experts", "titles"),
    [
        ("paper-set1", 1, ("Table III:", "Efficiency", "Table VII:")),
        ("paper-set2", 2, ("Table IV:", "Table IX:", "Table VII:")),
        ("paper-set3-80gb", 3, ("Table V:", "Efficiency", "Table VIII:")),
        ("paper-set4", 4, ("Table VI:", "Table X:", "Table VIII:")),
        ("small", None, ("Effectiveness", "Efficiency", "Task classification")),
    ],
)
def test_an_expert_set_of_the_paper_has_the_papers_numbers_beside(
    findings: Findings, profile: str, experts: int | None, titles: tuple[str, ...]
) -> None:
    named = replace(findings, paper=profile)
    assert expert_set(named) == experts
    tables = [table_of(named, title) for title in titles]
    printed = [row[5] for table in tables for row in table.rows if row[5] != "–"]
    assert bool(printed) == (experts is not None)  # random labels and Random-CoE are in every study


def test_the_losses_of_a_row_add_up(findings: Findings) -> None:
    rows = {row[0]: row[1:] for row in table_of(findings, "Losses").rows}
    coe, *lost, oracle = map(float, rows[COE + LABEL])
    assert coe + sum(lost) == pytest.approx(oracle, abs=0.03)


def test_accuracy_by_task_is_of_experts_and_of_coe_with_retrieval(findings: Findings) -> None:
    assert list(accuracy_by_task(findings, "held-out")) == list(SKILL)
    assert all(len(row) == len(TASKS) for row in accuracy_by_task(findings, "held-out").values())
    assert main_label(findings) == LABEL
