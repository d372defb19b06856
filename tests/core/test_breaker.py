"""The circuit breaker that models and experts share, on a clock that is put forward by hand."""

from coe_ray.core.breaker import CircuitBreaker


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_opens_at_the_threshold_of_failures_in_a_row() -> None:
    breaker = CircuitBreaker(threshold=3)
    for _ in range(2):
        breaker.record_failure()
    breaker.record_success()
    for _ in range(2):
        breaker.record_failure()
    assert not breaker.is_open
    breaker.record_failure()
    assert breaker.is_open
    assert breaker.is_resting


def test_a_closed_breaker_needs_no_trial() -> None:
    assert not CircuitBreaker().begin_trial()


def test_one_trial_after_each_rest() -> None:
    clock = Clock()
    breaker = CircuitBreaker(rest_s=5.0, clock=clock)
    breaker.record_failure()
    clock.now = 4.9
    assert breaker.is_resting
    clock.now = 5.0
    assert not breaker.is_resting
    assert breaker.begin_trial()
    assert breaker.is_resting
    clock.now = 10.0
    assert not breaker.is_resting


def test_a_trial_may_last_longer_than_a_rest() -> None:
    clock = Clock()
    breaker = CircuitBreaker(rest_s=5.0, clock=clock)
    breaker.record_failure()
    clock.now = 5.0
    breaker.begin_trial(lasts_s=60.0)
    clock.now = 64.9
    assert breaker.is_resting
    clock.now = 65.0
    assert not breaker.is_resting


def test_the_outcome_of_a_trial() -> None:
    clock = Clock()
    breaker = CircuitBreaker(rest_s=5.0, clock=clock)
    breaker.record_failure()
    breaker.begin_trial()
    breaker.record_inconclusive()
    assert breaker.is_open
    assert not breaker.is_resting
    breaker.begin_trial()
    breaker.record_failure()
    assert breaker.is_resting
    breaker.record_success()
    assert not breaker.is_open


def test_without_a_rest_given_it_rests_for_good() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock=clock)
    breaker.record_failure()
    clock.now = 1e300
    assert breaker.is_resting
    assert breaker.begin_trial()
