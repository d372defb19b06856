"""Verdict: the difference, the rival, how sure it is, and when nothing can be said."""

from collections.abc import Mapping
from typing import Any

import pytest

from coe_ray.analysis.metrics import system_metrics
from coe_ray.bench.report import render_report, render_table
from tests.bench.report.summaries import Page, page, paired, summary, system


def test_the_verdict_names_difference_rival_and_that_intervals_are_apart() -> None:
    text = page({"weak": system("weak", 2), "coe": system("coe", 19), "strong": system("strong", 10)}).text
    assert "CoE is 45.0 points above strong" in text
    assert "The intervals do not overlap." in text
    assert "Incomplete" not in text


@pytest.mark.parametrize(("right", "headline"), [(9, "5.0 points below rival"), (10, "level with rival")])
def test_the_verdict_says_when_the_figures_do_not_tell_systems_apart(right: int, headline: str) -> None:
    text = page({"coe": system("coe", right), "rival": system("rival", 10)}).text
    assert f"CoE is {headline}" in text
    assert "The intervals overlap" in text


@pytest.mark.parametrize(
    ("systems", "headline"),
    [
        ({"coe": system("coe", 10)}, "CoE answers 50.0% of the questions right"),
        (
            {"coe": system("coe", 10), "down": system("down", 0, 0, failed=2)},
            "CoE answers 50.0% of the questions right",
        ),
        ({"coe": system("coe", 0, 0, failed=2), "x": system("x", 5)}, "No answer of CoE could be scored"),
        ({"coe": system_metrics([])}, "No answer of CoE could be scored"),
    ],
    ids=["no expert", "expert without figures", "coe without figures", "nothing at all"],
)
def test_without_two_figures_nothing_is_compared(systems: Mapping[str, Any], headline: str) -> None:
    whole = summary(systems)
    assert headline in Page(render_report(whole)).text
    assert "coe" in render_table(whole)


def test_failed_rows_make_it_incomplete_everywhere() -> None:
    whole = summary({"coe": system("coe", 10, failed=1), "x": system("x", 10, failed=1)}, incomplete=True)
    for text in (Page(render_report(whole)).text, render_table(whole)):
        assert "Incomplete: 10 answers failed and are left out" in text


def test_a_run_that_stopped_early_is_incomplete_without_failures() -> None:
    assert "Incomplete: not every question has been answered." in page({"coe": system("coe", 1)}, incomplete=True).text


@pytest.mark.parametrize(
    ("changes", "headline", "sure", "why"),
    [
        ({}, "CoE is 3.2 points above rival", "Very sure.", "about 4 of 1,000 such runs"),
        ({"p_bootstrap": 0.0001}, "3.2 points above rival", "Very sure.", "fewer than 1 of 1,000 such runs"),
        ({"p_bootstrap": 0.03}, "3.2 points above rival", "Fairly sure.", "about 3 of 100 such runs"),
        ({"p_bootstrap": 0.23, "low": -0.01}, "3.2 points above rival", "Not sure.", "about 23 of 100 such runs"),
        ({"p_bootstrap": 1.0, "low": -0.01}, "3.2 points above rival", "Not sure.", "in nearly every such run"),
        ({"difference": -0.05, "low": -0.09, "high": -0.01}, "5.0 points below rival", "Very sure.", "about 4 of"),
        (
            {"difference": 0.0, "low": -0.02, "high": 0.02, "only_first": 9, "only_second": 9, "p_bootstrap": 1.0}
            | {"needed": None},
            "CoE is level with rival",
            "No difference.",
            "right where the other is wrong equally often",
        ),
    ],
)
def test_the_verdict_says_how_sure_it_is(changes: dict[str, Any], headline: str, sure: str, why: str) -> None:
    text = paired(**changes).text
    assert headline in text
    assert sure in text
    assert why in text
    assert all(other in sure or other not in text for other in ("Very sure", "Fairly sure", "Not sure"))


def test_the_verdict_gives_its_interval_and_figures() -> None:
    text = paired().text
    assert "The difference lies between +0.4 and +6.0 points (95% interval)." in text
    assert "On the 90 of 100 questions that every expert answered" in text
    for figure in ("+0.4 to +6.0", "p, bootstrap0.004", "p, McNemar0.031", "Only CoE right45", "the other right26"):
        assert figure in text
    assert "Resamplingclustered bootstrap" in text


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({"p_bootstrap": 0.2}, "It would take about 1,200 questions to tell the two apart; this run has 90."),
        ({"p_bootstrap": 0.2, "needed": 60}, "About 60 independent questions would do to tell the two apart"),
        ({"needed": 60}, "About 60 questions are enough to see a difference of this size four times out of five."),
    ],
)
def test_the_verdict_says_how_many_questions_it_takes(changes: dict[str, Any], needed: str) -> None:
    assert needed in paired(**changes).text
    assert "Questions needed" not in paired(needed=None).text


def test_where_interval_and_test_part_the_test_is_believed() -> None:
    sentence = "the test is the one to believe"
    assert sentence in paired(p_bootstrap=0.06).text
    assert sentence in paired(low=-0.001).text
    assert sentence not in paired().text
