"""The geometry of the report's drawings: what they show lies inside, tells the truth, and covers nothing else."""

import math
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.bench.report.axes import MOST_TICKS, linear, spread
from coe_ray.bench.report.labels import Box, Label, beside, mark_box, placed
from coe_ray.bench.report.radar import RADIUS, radar, rings_around
from coe_ray.bench.report.scatter import HEIGHT, PLOT, WIDTH, Offer, pareto, scatter

NAMES = st.text(min_size=1, max_size=40)
SHARES = st.floats(0, 1)
PAGE = Box(0, 0, WIDTH, HEIGHT)


def offers(most: int) -> st.SearchStrategy[list[Offer]]:
    costs = st.one_of(st.floats(1e-6, 1e9), st.integers(0, 5).map(float))
    return st.lists(st.builds(Offer, NAMES, costs, SHARES), min_size=1, max_size=most, unique_by=lambda each: each.name)


def apart(labels: list[Label]) -> bool:
    return not any(one.box.meets(other.box) for one, other in combinations(labels, 2))


class TestAxes:
    @given(st.lists(st.floats(-1e6, 1e9), max_size=20))
    def test_linear_ticks_are_few_round_and_around_all_values(self, values: list[float]) -> None:
        axis = linear(values)
        assert 2 <= len(axis.ticks) <= MOST_TICKS + 1
        assert list(axis.ticks) == sorted(set(axis.ticks))
        assert all(-1e-6 <= axis.share(value) <= 1 + 1e-6 for value in values)
        assert (axis.share(axis.low), axis.share(axis.high)) == (0, 1)

    @given(st.lists(st.floats(1e-9, 1e12), min_size=1, max_size=20))
    def test_costs_far_apart_get_a_logarithmic_axis(self, values: list[float]) -> None:
        axis = spread(values)
        assert axis.logarithmic == (max(values) > 10 * min(values))
        assert 2 <= len(axis.ticks) <= MOST_TICKS + 1
        assert all(-1e-6 <= axis.share(value) <= 1 + 1e-6 for value in values)
        assert axis.low >= 0

    @pytest.mark.parametrize(
        ("values", "ticks"),
        [
            ([0.31, 0.69], (0.3, 0.4, 0.5, 0.6, 0.7)),
            ([0.0, -0.039, 0.061], (-0.04, -0.02, 0.0, 0.02, 0.04, 0.06, 0.08)),
            ([0.5], (0.49, 0.492, 0.494, 0.496, 0.498, 0.5)),
            ([1.0, 1.0], (0.98, 0.985, 0.99, 0.995, 1.0)),
            ([0.0], (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
            ([], (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        ],
    )
    def test_they_are_as_people_would_choose_them(self, values: list[float], ticks: tuple[float, ...]) -> None:
        assert linear(values).ticks == ticks

    def test_nothing_costs_nothing(self) -> None:
        assert not spread([0.0, 3.0]).logarithmic
        assert spread([0.004, 0.3]).ticks == (0.003, 0.01, 0.03, 0.1, 0.3)


class TestLabels:
    @given(st.lists(st.tuples(NAMES, st.floats(PLOT.left, PLOT.right), st.floats(PLOT.top, PLOT.bottom)), max_size=30))
    def test_no_label_covers_another_or_a_mark_or_leaves_the_page(self, rows: list[tuple[str, float, float]]) -> None:
        marks = [(x, y) for _, x, y in rows]
        found = [each for each in placed([name for name, _, _ in rows], marks, PAGE) if each]
        assert apart(found)
        assert all(PAGE.holds(each.box) for each in found)
        assert not any(each.box.meets(mark_box(*mark)) for each in found for mark in marks)

    def test_a_lone_mark_has_its_name_at_its_right(self) -> None:
        (found,) = placed(["alpha"], [(100, 100)], PAGE)
        assert found == next(iter(beside("alpha", 100, 100)))
        assert found.leader is None

    def test_a_mark_far_from_its_name_has_a_leader(self) -> None:
        found = placed([f"expert {number}" for number in range(8)], [(200.0, 150.0)] * 8, PAGE)
        assert all(found)
        assert any(each.leader for each in found if each)


class TestPareto:
    @given(offers(12))
    def test_nothing_beats_the_front_and_the_front_beats_all_others(self, some: list[Offer]) -> None:
        front = [each for each in some if each.name in pareto(some)]
        assert front

        def beats(one: Offer, other: Offer) -> bool:
            return (one.cost, -one.accuracy) != (other.cost, -other.accuracy) and (
                one.cost <= other.cost and one.accuracy >= other.accuracy
            )

        assert not any(beats(one, other) for one in some for other in front)
        assert all(any(beats(one, other) for one in front) for other in some if other not in front)

    def test_equals_are_both_on_it(self) -> None:
        some = [Offer("a", 1, 0.5), Offer("b", 1, 0.5), Offer("c", 2, 0.5), Offer("d", 3, 0.6), Offer("e", 1, 0.4)]
        assert pareto(some) == {"a", "b", "d"}


class TestScatter:
    @given(offers(8))
    def test_all_is_inside_and_named_and_nothing_overlaps(self, some: list[Offer]) -> None:
        drawn = scatter(some)
        labels = [dot.label for dot in drawn.dots if dot.label]
        assert len(labels) == len(some)
        assert apart(labels)
        assert all(PAGE.holds(each.box) for each in labels)
        assert all(PLOT.left <= dot.x <= PLOT.right and PLOT.top <= dot.y <= PLOT.bottom for dot in drawn.dots)
        assert not any(each.box.meets(mark_box(dot.x, dot.y)) for each in labels for dot in drawn.dots)
        assert {dot.name for dot in drawn.dots if dot.on_front} == pareto(some)

    @given(offers(8))
    def test_dearer_is_to_the_right_and_better_is_higher(self, some: list[Offer]) -> None:
        dots = scatter(some).dots
        for one, other in combinations(range(len(some)), 2):
            assert (some[one].cost <= some[other].cost) or dots[one].x >= dots[other].x
            assert (some[one].accuracy <= some[other].accuracy) or dots[one].y <= dots[other].y

    def test_the_front_is_a_stair_that_ends_at_the_edge(self) -> None:
        drawn = scatter([Offer("cheap", 0, 0.0), Offer("dear", 10, 1.0), Offer("poor", 10, 0.5)])
        left, right, top, bottom = PLOT.left, PLOT.right, PLOT.top, PLOT.bottom
        assert drawn.front == f"M{left} {bottom}L{right} {bottom}L{right} {top}L{right} {top}"

    def test_there_must_be_an_offer(self) -> None:
        with pytest.raises(ValueError, match="no offers"):
            scatter([])


class TestRadar:
    @given(
        st.integers(3, 36).flatmap(
            lambda tasks: st.tuples(
                st.lists(NAMES, min_size=tasks, max_size=tasks),
                st.dictionaries(
                    NAMES, st.lists(st.none() | SHARES, min_size=tasks, max_size=tasks), min_size=1, max_size=4
                ),
            )
        )
    )
    def test_all_is_inside_and_no_name_covers_another(
        self, drawing: tuple[list[str], dict[str, list[float | None]]]
    ) -> None:
        tasks, series = drawing
        drawn = radar(tasks, series)
        spokes = [line for spoke in drawn.spokes for line in spoke.lines]
        names = [line.label for line in drawn.lines if line.label]
        assert apart([*spokes, *names])
        assert all(drawn.frame.holds(each.box) for each in [*spokes, *names])
        assert all(math.hypot(*mark) <= RADIUS + 0.2 for line in drawn.lines for mark in line.marks)
        assert [len(line.marks) for line in drawn.lines] == [
            sum(value is not None for value in values) for values in series.values()
        ]

    def test_how_far_from_the_middle_is_how_accurate(self) -> None:
        drawn = radar(["a", "b", "c", "d"], {"one": [0.5, 0.9, 0.7, 0.8]})
        low, high = drawn.middle, int(drawn.rings[-1].label.text)
        far = [low + (high - low) * math.hypot(*mark) / RADIUS for mark in drawn.lines[0].marks]
        assert far == pytest.approx([50, 90, 70, 80], abs=0.1)
        assert drawn.lines[0].marks[1][1] == 0  # the second of four is at the right

    def test_a_task_without_a_figure_opens_the_line(self) -> None:
        whole, open_, alone = radar(
            ["a", "b", "c", "d"], {"x": [0.5] * 4, "y": [0.5, None, 0.6, 0.7], "z": [0.5, None, 0.6, None]}
        ).lines
        assert whole.path.endswith("Z")
        assert open_.path.count("M") == 2
        assert alone.path == ""
        assert len(alone.marks) == 2

    def test_tasks_too_close_to_be_named_are_numbered(self) -> None:
        drawn = radar([f"a task with a long name {n}" for n in range(20)], {"one": [0.5] * 20})
        assert drawn.numbered
        assert [spoke.lines[0].text for spoke in drawn.spokes] == [str(n) for n in range(1, 21)]

    @pytest.mark.parametrize(
        ("percents", "rings"),
        [
            ([31, 69], [20, 30, 40, 50, 60, 70]),
            ([2, 98], [0, 20, 40, 60, 80, 100]),
            ([97, 99], [80, 90, 100]),
            ([], [0, 20, 40, 60, 80, 100]),
        ],
    )
    def test_rings_are_round_numbers(self, percents: list[float], rings: list[int]) -> None:
        assert rings_around(percents) == rings

    @pytest.mark.parametrize(("tasks", "values"), [(["a", "b"], [0.1, 0.2]), (["a", "b", "c"], [0.1])])
    def test_what_does_not_fit_is_refused(self, tasks: list[str], values: list[float]) -> None:
        with pytest.raises(ValueError, match="tasks, but"):
            radar(tasks, {"one": values})
