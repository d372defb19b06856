"""Circuit breaker of one model: what only a person or time can repair is found out once, not once a call.

That is a wrong key, a used-up quota, a wrong name, and a Retry-After beyond our patience.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy

from coe_ray.core.breaker import CircuitBreaker
from coe_ray.core.errors import CallError, LongCooldown

log = logging.getLogger(__name__)


class ModelBreaker:
    """Circuit breaker of one model: opened by the first error whose class `stops`.

    While it is open, calls fail with that error and are not sent; calls already under way end on their own. After
    `rest_s` seconds one call is let through: an answer closes the breaker, and so does an error of this one call, for
    which the key was good enough. Any other error leaves it open for another `rest_s`. A `LongCooldown` opens it until
    the provider's Retry-After is over, and no longer. `clock` gives seconds.
    """

    def __init__(self, rest_s: float = math.inf, clock: Callable[[], float] = time.monotonic) -> None:
        self._breaker = CircuitBreaker(rest_s=rest_s, clock=clock)
        self._error: CallError | None = None

    def check(self) -> None:
        """Raise the error that opened the breaker, with no attempts, while no call is let through."""
        if self._error is None:
            return
        is_cooldown = isinstance(self._error, LongCooldown)
        if self._breaker.is_resting:
            error = copy(self._error)
            if is_cooldown:
                error.retry_after = self._breaker.remaining_s
            raise error
        if is_cooldown:
            self._breaker.record_success()  # nothing was repaired that has to be tried out

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Context of one request, from right before it is sent until its answer is whole. Raises as `check` does."""
        self.check()
        is_trial = self._breaker.begin_trial()
        try:
            yield
        except CallError as error:
            if error.stops and (is_trial or not self._breaker.is_open):
                self._open(error)
            elif is_trial and not (error.stops or error.retryable):
                self._breaker.record_success()
            raise
        if is_trial:
            self._breaker.record_success()

    def _open(self, error: CallError) -> None:
        self._error = type(error)(error.model, f"not asked: {error.message}", status=error.status, attempts=0)
        self._breaker.record_failure(error.retry_after if isinstance(error, LongCooldown) else None)
        log.warning("%s; no more calls are sent to it", error)
