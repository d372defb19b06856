"""The token bucket: never more than rate and burst allow, and the wait that it announces is the wait there is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.ratelimit.token_bucket import TokenBucket


@given(st.lists(st.floats(0.0, 5), min_size=1, max_size=100), st.floats(0.1, 100), st.floats(1, 100))
def test_taken_never_passes_the_rate_and_one_capacity(pauses: list[float], per_second: float, capacity: float) -> None:
    bucket, now, taken = TokenBucket(), 0.0, 0
    for pause in pauses:
        now += pause
        while bucket.wait_s(now, per_second, capacity) == 0:
            bucket.take()
            taken += 1
        assert taken <= per_second * now + capacity + 1e-6


@given(st.floats(0.1, 100), st.integers(1, 20))
def test_after_the_announced_wait_a_token_is_there(per_second: float, taken: int) -> None:
    bucket = TokenBucket()
    bucket.level(0.0, per_second, 10)
    bucket.take(taken)
    wait_s = bucket.wait_s(0.0, per_second, 10)
    assert wait_s == pytest.approx(max(taken - 9, 0) / per_second)
    assert bucket.level(wait_s, per_second, 10) >= 1 - 1e-9


def test_an_idle_bucket_is_full_at_whatever_capacity() -> None:
    bucket = TokenBucket()
    bucket.level(0.0, 1, 5)
    bucket.take(5)
    assert bucket.level(60.0, 1, 60) == 60
    assert bucket.level(60.0, 1, 5) == 5


def test_a_clock_that_stands_or_steps_back_adds_nothing() -> None:
    bucket = TokenBucket()
    bucket.level(10.0, 1, 5)
    bucket.take(2)
    assert bucket.level(10.0, 1, 5) == bucket.level(9.0, 1, 5) == 3


def test_tokens_put_back_are_there_again() -> None:
    bucket = TokenBucket()
    bucket.level(0.0, 1, 5)
    bucket.take(5)
    bucket.take(-2)
    assert bucket.level(0.0, 1, 5) == 2
