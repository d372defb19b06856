"""Budget of requests and tokens per minute for one provider key. Pure: the clock is the caller's."""

import math

from coe_ray.ratelimit.token_bucket import TokenBucket

FIRST_CALL_TOKENS = 1000.0
"""Estimate of a call's tokens until the first call has finished."""


class RateBudget:
    """Number of calls that may start. Both limits are spread over the minute: a burst is at most one second's worth.

    A call's tokens are known only when it has finished, so each call in flight reserves the mean of earlier calls.
    """

    def __init__(self) -> None:
        self._requests, self._tokens = TokenBucket(), TokenBucket()
        self._requests_per_s: float | None = None
        self._tokens_per_s: float | None = None
        self._used = self._finished = 0

    @property
    def is_limited(self) -> bool:
        return self._requests_per_s is not None or self._tokens_per_s is not None

    def set_limits(self, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        """Set both limits; `None` is no limit."""
        self._requests_per_s = requests_per_minute and requests_per_minute / 60
        self._tokens_per_s = tokens_per_minute and tokens_per_minute / 60

    def record_usage(self, tokens: int, finished: int) -> None:
        """Charge what `finished` calls used."""
        self._used += tokens
        self._finished += finished
        self._tokens.take(tokens)

    def start(self, calls: float) -> None:
        """Charge calls that may start now; negative: granted calls that will not be made."""
        self._requests.take(calls)

    def affordable_calls(self, now: float, reserved: float) -> float:
        """Calls that may be granted now, beside the `reserved` ones (granted or in flight). Perhaps a fraction."""
        mean = self._used / self._finished if self._used else FIRST_CALL_TOKENS
        calls = math.inf
        if rate := self._requests_per_s:
            calls = self._requests.level(now, rate, max(rate, 1.0))
        if rate := self._tokens_per_s:
            held = reserved * mean
            calls = min(calls, (self._tokens.level(now, rate, max(rate, mean) + held) - held) / mean)
        return max(calls, 0.0)
