"""Cost against accuracy: dearer is to the right, better is higher, names cover nothing, nothing beats the front."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from coe_ray.analysis.charts import CostPoint, cost_chart, pareto_front
from coe_ray.analysis.charts.costs import format_tick
from coe_ray.analysis.charts.style import PAPER, text_box
from tests.analysis.charts.inspection import xs, ys

COSTS = st.one_of(st.floats(1e-6, 1e9), st.integers(0, 5).map(float))
POINTS = st.builds(CostPoint, st.text(min_size=1, max_size=40), COSTS, st.floats(0, 100))


def some_points(most: int) -> st.SearchStrategy[list[CostPoint]]:
    return st.lists(POINTS, min_size=1, max_size=most, unique_by=lambda point: point.name)


def marks_of(figure: Figure, points: list[CostPoint]) -> list[Line2D]:
    """The mark of each point, in their order."""
    marks = [line for line in figure.axes[0].lines if line.get_zorder() == 3]
    assert len(marks) == len(points)
    return marks[::-1]


def name_boxes(figure: Figure) -> list[Bbox]:
    boxes = []
    for text in figure.axes[0].texts:
        assert isinstance(text, Annotation)
        x, y = figure.axes[0].transData.transform(text.xy)
        across, up = text.xyann
        boxes.append(text_box(text.get_text(), x + across, y + up, text.get_horizontalalignment()))
    return boxes


def place_of(figure: Figure, mark: Line2D) -> tuple[float, float]:
    x, y = figure.axes[0].transData.transform((xs(mark)[0], ys(mark)[0]))
    return float(x), float(y)


@settings(max_examples=25)
@given(some_points(8))
def test_all_is_inside_and_named_and_nothing_overlaps(points: list[CostPoint]) -> None:
    figure = cost_chart(points, "cost")
    boxes, area = name_boxes(figure), figure.axes[0].bbox
    frame = Bbox.from_extents(area.x0, area.y0, area.x1 + 18, area.y1 + 12)
    marks = [place_of(figure, mark) for mark in marks_of(figure, points)]
    assert len(boxes) == len(points)
    assert not any(one.count_overlaps([other]) for one, other in combinations(boxes, 2))
    assert all(frame.x0 <= box.x0 <= box.x1 <= frame.x1 and frame.y0 <= box.y0 <= box.y1 <= frame.y1 for box in boxes)
    assert all(frame.contains(*mark) for mark in marks)
    assert not any(box.contains(*mark) for box in boxes for mark in marks)


@settings(max_examples=25)
@given(some_points(8))
def test_dearer_is_to_the_right_and_better_is_higher(points: list[CostPoint]) -> None:
    figure = cost_chart(points, "cost")
    places = [place_of(figure, mark) for mark in marks_of(figure, points)]
    for (one, at), (other, there) in combinations(zip(points, places, strict=True), 2):
        assert one.cost <= other.cost or at[0] >= there[0]
        assert one.accuracy <= other.accuracy or at[1] >= there[1]
        assert one.cost >= other.cost or at[0] <= there[0]
        assert one.accuracy >= other.accuracy or at[1] <= there[1]


def test_marks_on_the_front_are_filled_and_one_can_be_highlighted() -> None:
    points = [CostPoint("cheap", 1, 20), CostPoint("CoE", 2, 80), CostPoint("poor", 3, 50)]
    cheap, coe, poor = marks_of(cost_chart(points, "cost", highlighted="CoE"), points)
    assert [mark.get_markerfacecolor() == PAPER for mark in (cheap, coe, poor)] == [False, False, True]
    assert coe.get_marker() != cheap.get_marker() == poor.get_marker()
    assert coe.get_color() != cheap.get_color() == poor.get_color()


def test_the_front_is_a_stair_that_ends_at_the_edge() -> None:
    points = [CostPoint("cheap", 0, 0), CostPoint("dear", 10, 100), CostPoint("poor", 10, 50)]
    axes = cost_chart(points, "cost").axes[0]
    (stairs,) = [line for line in axes.lines if len(xs(line)) > 1]
    edge = axes.get_xlim()[1]
    assert list(zip(xs(stairs), ys(stairs), strict=True)) == [(0, 0), (10, 0), (10, 100), (edge, 100)]


def test_a_mark_far_from_its_name_has_a_leader() -> None:
    figure = cost_chart([CostPoint(f"expert {n}", 5, 50) for n in range(12)], "cost")
    names = [text for text in figure.axes[0].texts if isinstance(text, Annotation)]
    assert len(names) == 12
    assert any(name.arrow_patch is not None for name in names)
    assert all((name.arrow_patch is not None) == (abs(name.xyann[1]) > 14) for name in names)


def test_a_lone_mark_has_its_name_beside_it_off_the_front() -> None:
    (name,) = cost_chart([CostPoint("_alpha", 5, 50)], "cost").axes[0].texts
    assert isinstance(name, Annotation)
    assert (name.get_text(), name.get_horizontalalignment(), name.xyann) == ("_alpha", "right", (-9, 0))


@pytest.mark.parametrize(
    ("costs", "logarithmic"),
    [([0, 3], False), ([0.004, 0.3], True), ([1, 10], False), ([1, 11], True), ([0, 99], False)],
)
def test_costs_far_apart_get_a_logarithmic_axis(costs: list[float], logarithmic: bool) -> None:
    axes = cost_chart([CostPoint(str(cost), cost, 50) for cost in costs], "tokens").axes[0]
    assert axes.get_xscale() == ("log" if logarithmic else "linear")
    assert axes.get_xlabel() == ("tokens, logarithmic →" if logarithmic else "tokens →")
    low, high = axes.get_xlim()
    assert 2 <= sum(low <= tick <= high for tick in axes.get_xticks()) <= 8


@pytest.mark.parametrize(
    ("value", "written"), [(0.5, "0.5"), (1e3, "1k"), (2.5e6, "2.5M"), (3e9, "3G"), (0.0, "0"), (1e-6, "1e-06")]
)
def test_numbers_on_an_axis_are_short(value: float, written: str) -> None:
    assert format_tick(value) == written


def test_there_must_be_a_point() -> None:
    with pytest.raises(ValueError, match="no points"):
        cost_chart([], "cost")


class TestPareto:
    @given(some_points(12))
    def test_nothing_beats_the_front_and_the_front_beats_all_others(self, points: list[CostPoint]) -> None:
        front = [point for point in points if point.name in pareto_front(points)]
        assert front

        def beats(one: CostPoint, other: CostPoint) -> bool:
            return (one.cost, -one.accuracy) != (other.cost, -other.accuracy) and (
                one.cost <= other.cost and one.accuracy >= other.accuracy
            )

        assert not any(beats(one, other) for one in points for other in front)
        assert all(any(beats(one, other) for one in front) for other in points if other not in front)

    def test_equals_are_both_on_it(self) -> None:
        rows = [("a", 1, 50), ("b", 1, 50), ("c", 2, 50), ("d", 3, 60), ("e", 1, 40)]
        assert pareto_front([CostPoint(*row) for row in rows]) == {"a", "b", "d"}
