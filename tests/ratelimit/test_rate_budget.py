"""The budget per minute: never more than is allowed, and all of it where it is wanted."""

from hypothesis import given
from hypothesis import strategies as st

from coe_ray.ratelimit.rate_budget import FIRST_CALL_TOKENS, RateBudget


def make_budget(requests: int | None = None, tokens: int | None = None) -> RateBudget:
    budget = RateBudget()
    budget.set_limits(requests, tokens)
    return budget


def test_without_limits_anything_may_start() -> None:
    assert not make_budget().is_limited
    assert make_budget().affordable_calls(0, reserved=1e9) == float("inf")


@given(st.lists(st.floats(0.01, 5), min_size=1, max_size=200), st.integers(1, 6000))
def test_requests_never_pass_the_rate_and_one_burst(pauses: list[float], per_minute: int) -> None:
    limited, now, started = make_budget(requests=per_minute), 0.0, 0.0
    for pause in pauses:
        now += pause
        calls = limited.affordable_calls(now, reserved=0)
        limited.start(calls)
        started += calls
        assert started <= per_minute / 60 * now + max(per_minute / 60, 1) + 1e-6


def test_tokens_are_judged_by_the_mean_so_far() -> None:
    limited = make_budget(tokens=60_000)
    assert limited.affordable_calls(0, reserved=0) == 1000 / FIRST_CALL_TOKENS
    limited.record_usage(tokens=400, finished=2)
    assert limited.affordable_calls(0, reserved=0) == 600 / 200
    assert limited.affordable_calls(0, reserved=3) == 0


def test_a_call_larger_than_a_seconds_worth_waits_and_is_made() -> None:
    limited = make_budget(tokens=600)
    assert limited.affordable_calls(0, reserved=0) == 1
    limited.record_usage(tokens=1500, finished=1)
    assert limited.affordable_calls(1, reserved=0) == 0
    assert limited.affordable_calls(400, reserved=0) == 1


def test_what_was_granted_and_not_used_comes_back() -> None:
    limited = make_budget(requests=60)
    limited.start(limited.affordable_calls(0, reserved=0))
    assert limited.affordable_calls(0, reserved=0) == 0
    limited.start(-1)
    assert limited.affordable_calls(0, reserved=0) == 1
