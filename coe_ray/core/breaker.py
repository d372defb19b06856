"""Circuit breaker: what failed several times in a row rests, and is then tried by one request at a time."""

import math
import time
from collections.abc import Callable


class CircuitBreaker:
    """Circuit breaker: opens at `threshold` failures in a row and stays open until a request succeeds.

    An open breaker rests for `rest_s` seconds. The first request after that is the trial: call `begin_trial` before it,
    which makes the breaker rest again until the outcome is recorded. `clock` gives seconds.
    """

    def __init__(
        self, threshold: int = 1, rest_s: float = math.inf, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._threshold = threshold
        self._rest_s = rest_s
        self._clock = clock
        self._failures = 0
        self._rests_until = -math.inf

    @property
    def is_open(self) -> bool:
        return self._failures >= self._threshold

    @property
    def is_resting(self) -> bool:
        """Open, and not yet to be tried again."""
        return self.is_open and self._clock() < self._rests_until

    @property
    def remaining_s(self) -> float:
        """Seconds of rest that are left."""
        return max(self._rests_until - self._clock(), 0.0)

    def begin_trial(self, lasts_s: float = 0.0) -> bool:
        """Rest while the next request, which takes up to `lasts_s` seconds, is the trial; False if closed."""
        if self.is_open:
            self._rests_until = self._clock() + max(self._rest_s, lasts_s)
        return self.is_open

    def record_success(self) -> None:
        self._failures = 0

    def record_failure(self, rest_s: float | None = None) -> None:
        """Count a failure; an open breaker rests for `rest_s` seconds from now, where that is given."""
        self._failures += 1
        self._rests_until = self._clock() + (self._rest_s if rest_s is None else rest_s)

    def record_inconclusive(self) -> None:
        """The trial showed nothing (the client left, say): the next request is a trial at once."""
        self._rests_until = -math.inf
