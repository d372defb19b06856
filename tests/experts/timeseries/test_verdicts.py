"""Scores of options, one judge for each kind of question: the right option scores highest, impossible ones -inf."""

from collections.abc import Callable

import pytest

from coe_ray.experts.timeseries.series import read_series
from coe_ray.experts.timeseries.verdicts import (
    NOTHING_DESPITE,
    SeriesQuestion,
    Verdict,
    judge_anomalies,
    judge_change,
    judge_count,
    judge_forecast,
    judge_pattern,
    judge_period,
)

SPIKE = "10, 11, 10, 9, 10, 50, 10, 11, 9, 10"
STEP = "100, 102, 98, 101, 99, 100, 180, 182, 179, 181, 180, 178"
SEASON = "1, 5, 9, 1, 5, 9, 1, 5, 9, 1, 5, 9"
CALM = "10, 11, 10, 9, 10, 11, 10, 9, 11, 10"
LINE = "2, 4, 6, 8, 10, 12, 14, 16"
IMPOSSIBLE = -float("inf")

Judge = Callable[[SeriesQuestion], Verdict]


def question(text: str, *options: str) -> SeriesQuestion:
    series = read_series(text)
    assert series is not None
    return SeriesQuestion(text, options, series)


def best(verdict: Verdict, options: tuple[str, ...]) -> str:
    assert len(verdict.scores) == len(options)
    return options[verdict.scores.index(max(verdict.scores))]


@pytest.mark.parametrize(
    ("judge", "text", "options", "right"),
    [
        (judge_anomalies, SPIKE, ("index 4", "index 5", "index 6", "no anomaly"), "index 5"),
        (judge_anomalies, SPIKE, ("10", "50", "11", "9"), "50"),
        (judge_anomalies, SPIKE, ("Yes", "No"), "Yes"),
        (judge_anomalies, CALM, ("Yes", "No"), "No"),
        (judge_anomalies, STEP, ("index 2", "index 6", "index 9"), "index 6"),
        (judge_count, SPIKE, ("0", "1", "2", "3"), "1"),
        (judge_count, CALM, ("none", "1", "2"), "none"),
        (judge_change, STEP, ("index 3", "index 6", "index 9"), "index 6"),
        (judge_period, SEASON, ("2", "3", "4", "6"), "3"),
        (judge_pattern, SEASON, ("increasing trend", "with period 4", "with period 3"), "with period 3"),
        (judge_pattern, STEP, ("stable", "a spike", "a level shift"), "a level shift"),
        (judge_forecast, LINE, ("17", "18", "19", "20"), "18"),
        (judge_forecast, LINE, ("[18, 20]", "[18, 22]", "[17, 18]"), "[18, 20]"),
        (judge_forecast, LINE, ("10-16", "17-20", "> 30"), "17-20"),
        (judge_forecast, LINE, ("increase", "decrease", "stay unchanged"), "increase"),
        (judge_forecast, CALM + ", 10, 10, 10", ("increase", "decrease", "stay unchanged"), "stay unchanged"),
    ],
)
def test_the_right_option_scores_highest(judge: Judge, text: str, options: tuple[str, ...], right: str) -> None:
    assert best(judge(question(text, *options)), options) == right


@pytest.mark.parametrize("judge", [judge_anomalies, judge_count, judge_change, judge_pattern])
def test_options_that_say_nothing_of_a_series_are_impossible(judge: Judge) -> None:
    assert judge(question(STEP, "red", "green")).scores == (IMPOSSIBLE, IMPOSSIBLE)


def test_none_is_no_answer_where_something_was_found_and_the_others_cannot_be_read() -> None:
    assert judge_anomalies(question(SPIKE, "the red one", "none of them")).scores == (IMPOSSIBLE, IMPOSSIBLE)
    assert judge_anomalies(question(SPIKE, "index 1", "none of them")).scores[1] == NOTHING_DESPITE


def test_positions_count_from_the_base_that_finds_the_outlier() -> None:
    options = ("index 4", "index 6", "index 9")  # none is 5: counted from 1 the second is right
    assert best(judge_anomalies(question(SPIKE, *options)), options) == "index 6"


def test_without_a_season_no_period_is_right() -> None:
    verdict = judge_period(question(LINE, "2", "3", "no period"))
    assert verdict.scores == (IMPOSSIBLE, IMPOSSIBLE, 0.0)
    assert verdict.finding == "no season stands out"


def test_too_few_values_for_a_shift() -> None:
    verdict = judge_change(question("1, 1, 1, 9, 9, 9", "index 3", "index 4"))
    assert verdict == Verdict((IMPOSSIBLE, IMPOSSIBLE), "too few values for a level shift")


@pytest.mark.parametrize(
    ("judge", "text", "options", "finding"),
    [
        (judge_anomalies, SPIKE, ("index 5",), "index 5 (50)"),
        (judge_anomalies, STEP, ("index 6",), "level shift at index 6"),
        (judge_anomalies, CALM, ("index 6",), "nothing far out"),
        (judge_count, SPIKE, ("1",), "1 found: "),
        (judge_change, STEP, ("index 6",), "at index 6"),
        (judge_period, SEASON, ("3",), "season of period 3"),
        (judge_pattern, LINE, ("linear growth",), "best explained by: linear trend of 2 a step"),
        (judge_forecast, LINE, ("18",), "forecast 18 "),
        (judge_forecast, LINE, ("increase", "decrease"), "forecast changes by "),
    ],
)
def test_the_finding_names_what_was_measured(judge: Judge, text: str, options: tuple[str, ...], finding: str) -> None:
    assert finding in judge(question(text, *options)).finding
