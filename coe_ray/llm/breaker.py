"""The circuit of one model: what nobody but a person can mend is found out once, not once a call."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy

from coe_ray.core.errors import CallError

log = logging.getLogger(__name__)


class CircuitBreaker:
    """Opened by the first error whose class `stops`; from then on each call fails with it and is not sent.

    Calls already on their way end on their own. After `rest_s` seconds one call is let through to see whether it is
    mended: an answer closes the circuit, and so does an error of this one call, for which its key was good enough;
    anything else leaves it open for another `rest_s`. `clock` gives seconds.
    """

    def __init__(self, rest_s: float = math.inf, clock: Callable[[], float] = time.monotonic) -> None:
        self._rest_s = rest_s
        self._clock = clock
        self._rests_until = 0.0
        self._refusal: CallError | None = None

    def check(self) -> None:
        """Raises the error that opened the circuit, with no attempts, while nobody is to be let through."""
        if self._refusal is not None and self._clock() < self._rests_until:
            raise copy(self._refusal)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Around one request, from right before it is sent until its answer is whole. Raises as `check` does."""
        trial = self._on_trial()
        try:
            yield
        except CallError as error:
            self._learn(error, trial)
            raise
        if trial:
            self._refusal = None

    def _learn(self, error: CallError, trial: bool) -> None:
        if error.stops and (trial or self._refusal is None):
            self._open(error)
        elif trial and not (error.stops or error.retryable):
            self._refusal = None

    def _on_trial(self) -> bool:
        """Whether this request is the one that finds out if it is mended."""
        self.check()
        if self._refusal is None:
            return False
        self._rests_until = self._clock() + self._rest_s
        return True

    def _open(self, error: CallError) -> None:
        self._refusal = _not_asked(error)
        self._rests_until = self._clock() + self._rest_s
        log.warning("%s; no more calls are sent to it", error)


def _not_asked(error: CallError) -> CallError:
    return type(error)(error.model, f"not asked: {error.message}", status=error.status, attempts=0)
