"""The AIMD window by itself, its clock a number: cuts, pauses, growth, rare refusals, and its bounds."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.ratelimit.aimd import (
    CALM_CALLS,
    CALM_S,
    CUTS_BEFORE_PAUSE,
    LONGEST_PAUSE_S,
    PEAK_S,
    RARE_ANSWERS,
    RECOVERY_S,
    SINGLE_S,
    STEP_S,
    AimdWindow,
)


def window(cap: int = 100) -> AimdWindow:
    made = AimdWindow(0.0)
    made.cap(cap)
    return made


def cut_window(limit: int, cap: int = 100) -> AimdWindow:
    """A window that was cut to `limit` at time 0."""
    made = window(cap)
    made.refuse(0.0, refused=cap - limit, accepted=limit, finished=0)
    return made


def test_starts_at_the_users_limit_and_follows_it() -> None:
    made = window(100)
    assert (made.limit, made.epoch) == (100, 0)
    made.cap(7)
    assert made.limit == 7


def test_a_burst_cuts_a_window_in_use_to_what_was_accepted() -> None:
    assert [cut_window(limit).limit for limit in (99, 40, 1)] == [99, 40, 1]
    assert cut_window(40).epoch == 1


def test_cuts_by_half_where_nothing_or_little_of_the_window_was_accepted() -> None:
    assert cut_window(0).limit == 50
    made = window(100)
    made.refuse(0.0, refused=20, accepted=3, finished=0)
    assert made.limit == 50


def test_few_refusals_of_a_window_that_is_not_in_use_cost_as_many_slots() -> None:
    made = window(64)
    for _ in range(5):
        made.refuse(0.0, refused=2, accepted=1, finished=0)
    assert (made.limit, made.epoch, made.paused_until) == (54, 5, 0)


def test_time_leads_back_after_few_refusals_of_a_window_that_is_not_in_use() -> None:
    made = window(64)
    made.refuse(0.0, refused=4, accepted=0, finished=0)
    limits = []
    for share in (0.25, 0.5, 1):
        made.recover(share * RECOVERY_S)
        limits.append(made.limit)
    assert limits == [61, 62, 64]


def test_time_leads_back_in_full_use_only_after_a_single_refusal() -> None:
    made, now, limits = window(100), 0.0, []
    for _ in range(2):
        made.refuse(now, refused=1, accepted=99, finished=0)
        made.confirm()
        for _ in range(10):
            now += RECOVERY_S / 10
            made.grow(now, finished=0, demand=200)
        limits.append(made.limit)
    assert now < SINGLE_S
    assert limits == [100, 99]


@pytest.mark.parametrize(("demand", "limit"), [(3, 100), (4, 4)])
def test_a_cut_is_forgotten_after_a_time_without_full_use(demand: int, limit: int) -> None:
    made = cut_window(4)
    for tenth in range(101):
        made.grow(tenth / 10, finished=0, demand=demand)
    assert made.limit == limit


def test_cuts_without_an_answer_between_go_down_faster_and_an_answer_ends_the_row() -> None:
    made = window(100)
    limits = []
    for _ in range(3):
        made.refuse(0.0, refused=1, accepted=100, finished=0)
        limits.append(made.limit)
    assert limits == pytest.approx([99, 99 * 0.81, 99 * 0.81 * 0.6561])
    made.confirm()
    made.refuse(0.0, refused=1, accepted=100, finished=0)
    assert made.limit == pytest.approx(limits[-1] - 1)


def test_pauses_after_some_cuts_in_a_row_each_time_longer_but_not_for_ever() -> None:
    made = window(100)
    pauses = []
    for _ in range(12):
        made.refuse(5.0, refused=1, accepted=100, finished=0)
        pauses.append(max(0.0, made.paused_until - 5.0))
    assert pauses[:CUTS_BEFORE_PAUSE] == [0] * CUTS_BEFORE_PAUSE
    assert pauses[CUTS_BEFORE_PAUSE:] == [0.25, 0.5, 1, 2, 4, *[LONGEST_PAUSE_S] * 4]


def test_grows_only_after_calm_time_and_answers() -> None:
    early, few, calm = cut_window(32), cut_window(32), cut_window(32)
    early.grow(CALM_S - 0.1, finished=CALM_CALLS, demand=100)
    few.grow(CALM_S, finished=CALM_CALLS - 1, demand=100)
    calm.grow(CALM_S, finished=CALM_CALLS, demand=100)
    assert (early.limit, few.limit, calm.limit) == (32, 32, 34)


def test_a_step_needs_time_and_a_whole_window_of_answers() -> None:
    made = cut_window(32)
    made.grow(CALM_S, finished=CALM_CALLS, demand=100)
    made.grow(CALM_S + STEP_S, finished=33, demand=100)
    assert made.limit == 34
    made.grow(CALM_S + STEP_S, finished=1, demand=100)
    assert made.limit == 36


def test_a_small_window_grows_by_one_and_none_beyond_the_cap() -> None:
    small, full = cut_window(3), cut_window(3, cap=4)
    for now in range(5, 25, 5):
        small.grow(float(now), finished=1000, demand=100)
        full.grow(float(now), finished=1000, demand=100)
    assert (small.limit, full.limit) == (7, 4)


def test_without_demand_it_does_not_grow_and_calm_begins_anew() -> None:
    made = cut_window(32)
    made.grow(CALM_S, finished=CALM_CALLS, demand=28)  # below 90 % of 32
    assert made.limit == 32
    made.grow(2 * CALM_S - 0.1, finished=CALM_CALLS, demand=100)
    assert made.limit == 32
    made.grow(2 * CALM_S, finished=0, demand=100)
    assert made.limit == 34


def test_a_rare_refusal_far_below_a_size_that_worked_is_no_cut() -> None:
    made = cut_window(60)  # the peak: 61
    made.refuse(1.0, refused=40, accepted=20, finished=0)
    made.confirm()
    assert made.limit == 20
    made.refuse(2.0, refused=1, accepted=19, finished=RARE_ANSWERS)
    assert (made.limit, made.epoch) == (20, 3)
    made.refuse(3.0, refused=1, accepted=19, finished=RARE_ANSWERS - 1)
    assert made.limit == 19


def test_a_size_that_worked_long_ago_protects_from_no_cut() -> None:
    made = cut_window(60)
    made.refuse(1.0, refused=40, accepted=20, finished=0)
    for second in range(1, int(PEAK_S) + 1):
        made.grow(float(second), finished=0, demand=100)
    made.confirm()
    made.refuse(PEAK_S, refused=1, accepted=19, finished=RARE_ANSWERS)
    assert made.limit == 19


def test_adopts_a_clients_limit_and_epoch_but_no_larger_limit() -> None:
    made = window(100)
    made.adopt(0.0, limit=12.5, epoch=4)
    assert (made.limit, made.epoch) == (12.5, 4)
    made.adopt(0.0, limit=50.0, epoch=5)
    assert (made.limit, made.epoch) == (12.5, 5)
    made.adopt(0.0, limit=0.0, epoch=6)
    assert made.limit == 1


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["refuse", "confirm", "grow", "cap", "adopt"]),
        st.floats(0, 10),
        st.integers(0, 300),
        st.integers(0, 300),
    ),
    max_size=60,
)


@given(STEPS)
def test_the_limit_stays_between_one_and_the_cap(steps: list[tuple[str, float, int, int]]) -> None:
    made, now, cap = window(64), 0.0, 64
    for step, seconds, one, other in steps:
        now += seconds
        made.recover(now)
        before, epoch = made.limit, made.epoch
        match step:
            case "refuse":
                made.refuse(now, refused=one, accepted=other, finished=one)
                assert made.limit <= before
                assert made.epoch == epoch + 1
            case "confirm":
                made.confirm()
            case "grow":
                made.grow(now, finished=one, demand=other)
                assert made.limit >= before
            case "cap":
                cap = max(1, one)
                made.cap(cap)
            case "adopt":
                made.adopt(now, limit=float(one), epoch=other)
        assert 1 <= made.limit <= cap
        assert math.isfinite(made.paused_until)
        assert made.paused_until <= now + LONGEST_PAUSE_S
