"""Charts with rows: every mark at its value, every loss with its sign, the first row on top."""

import math
from itertools import pairwise

import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from coe_ray.analysis.charts import dot_chart, loss_steps, losses_chart
from tests.analysis.charts.inspection import range_lines, series_lines, xs, ys

LOSSES = {
    "coe": 0.68,
    "task_oracle": 0.727,
    "question_oracle": 0.912,
    "classification": 0.0501,
    "unknown": -0.0031,
    "mapping": 0.1767,
    "extraction": 0.0083,
}


def marks_of(figure: Figure) -> list[list[float]]:
    """The values of each series, from the first row down; nan for none."""
    series = series_lines(figure)
    assert all(ys(line) == [*range(len(ys(line)))] for line in series)
    return [xs(line) for line in series]


def ranges_of(figure: Figure) -> dict[float, tuple[float, ...]]:
    """Row → ends of its bar."""
    return {ys(line)[0]: tuple(xs(line)) for line in range_lines(figure)}


class TestDotChart:
    def test_marks_and_ranges_stand_at_their_values_the_first_row_on_top(self) -> None:
        series = {"one": [50.0, None, 70.0], "_two": [None, 0.0, 71.0]}
        figure = dot_chart(["a", "b", "c"], series, [(40.0, 60.0), None, (65.0, 75.0)])
        first, second = marks_of(figure)
        assert (first[0], first[2]) == (50, 70)
        assert math.isnan(first[1])
        assert second[1:] == [0, 71]
        assert ranges_of(figure) == {0: (40, 60), 2: (65, 75)}
        assert figure.axes[0].get_ylim() == (2.5, -0.5)
        assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["a", "b", "c"]
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one", "_two"]

    def test_a_band_lies_behind_and_zero_is_a_line(self) -> None:
        axes = dot_chart(["a"], {"one": [5.0]}, band=(3.0, 9.0), zero=True).axes[0]
        (band,) = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
        assert (band.get_x(), band.get_width()) == (3, 6)
        assert any(xs(line) == [0, 0] for line in axes.lines)
        assert band.get_zorder() < min(line.get_zorder() for line in axes.lines)

    def test_one_series_has_no_legend(self) -> None:
        assert not dot_chart(["a"], {"one": [5.0]}).legends

    def test_a_value_for_each_row_is_needed(self) -> None:
        with pytest.raises(ValueError, match="2 rows, but"):
            dot_chart(["a", "b"], {"one": [5.0]})


class TestLosses:
    def test_steps_lead_from_the_question_oracle_to_coe_without_a_gap(self) -> None:
        steps = loss_steps(LOSSES)
        assert [step.name for step in steps] == [
            *("Question oracle", "Extraction", "Mapping", "Task oracle", "Unknown", "Classification", "CoE")
        ]
        assert [step.is_total for step in steps] == [True, False, False, True, False, False, True]
        assert steps[0].end == LOSSES["question_oracle"]
        assert steps[3].end == pytest.approx(steps[2].end) == pytest.approx(LOSSES["task_oracle"])
        assert steps[6].end == pytest.approx(steps[5].end) == pytest.approx(LOSSES["coe"])
        assert all(after.start == pytest.approx(before.end) for before, after in pairwise(steps))

    def test_bars_reach_from_level_to_level_and_gains_have_another_colour(self) -> None:
        axes = losses_chart(LOSSES).axes[0]
        bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
        reach = [(bar.get_x(), bar.get_width()) for bar in bars]
        steps = [step for step in loss_steps(LOSSES) if not step.is_total]
        assert reach == [pytest.approx((100 * step.start, 100 * (step.end - step.start))) for step in steps]
        colours = [bar.get_facecolor() for bar in bars]
        assert colours[0] == colours[1] == colours[3] != colours[2]

    def test_losses_are_signed_and_totals_are_not(self) -> None:
        texts = [text.get_text() for text in losses_chart(LOSSES).axes[0].texts]
        assert texts == ["91.20", "−0.83", "−17.67", "72.70", "+0.31", "−5.01", "68.00"]
        assert [text.get_text() for text in losses_chart(LOSSES, decimals=1).axes[0].texts][1] == "−0.8"

    def test_a_loss_too_small_to_show_has_no_minus(self) -> None:
        texts = [text.get_text() for text in losses_chart({**LOSSES, "extraction": 0.00001}).axes[0].texts]
        assert texts[1] == "+0.00"

    def test_without_any_loss_the_chart_is_flat(self) -> None:
        flat = {**dict.fromkeys(LOSSES, 0.0), "coe": 0.5, "task_oracle": 0.5, "question_oracle": 0.5}
        axes = losses_chart(flat).axes[0]
        assert axes.get_xlim()[0] < 50 < axes.get_xlim()[1]
        assert sum(xs(line) == [50, 50] for line in axes.lines) == 9
