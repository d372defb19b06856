"""Requests and tokens per minute as token buckets. Pure: the clock is the caller's."""

import math

GUESS = 1000.0
"""Tokens of a call before the first has told how many it used."""


class TokenBucket:
    """How many calls may start. Both limits are spread over the minute: a burst is at most one second's worth.

    What a call will use is known only afterwards, so each call on its way reserves the mean of those before it.
    """

    def __init__(self, now: float) -> None:
        self._requests = _Bucket(now)
        self._tokens = _Bucket(now)
        self._used = 0
        self._finished = 0

    @property
    def limited(self) -> bool:
        return self._requests.limited or self._tokens.limited

    def limit(self, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        """Set both limits; `None` is no limit."""
        self._requests.limit(requests_per_minute)
        self._tokens.limit(tokens_per_minute)

    def use(self, tokens: int, finished: int) -> None:
        """Take off what `finished` calls used."""
        self._used += tokens
        self._finished += finished
        self._tokens.take(tokens)

    def start(self, calls: float) -> None:
        """Take off calls that may start now; negative: those that were granted and will not."""
        self._requests.take(calls)

    def affordable(self, now: float, reserved: float) -> float:
        """Calls that may be granted now, beside the `reserved` ones: granted or on their way. Perhaps a fraction."""
        mean = self._used / self._finished if self._used else GUESS
        requests = self._requests.filled(now, needed=1.0)
        tokens = self._tokens.filled(now, needed=mean, reserved=reserved * mean) / mean
        return max(min(requests, tokens), 0.0)


class _Bucket:
    def __init__(self, now: float) -> None:
        self._per_second = math.inf
        self._level = math.inf
        self._at = now

    @property
    def limited(self) -> bool:
        return self._per_second < math.inf

    def limit(self, per_minute: int | None) -> None:
        self._per_second = math.inf if per_minute is None else per_minute / 60

    def filled(self, now: float, needed: float, reserved: float = 0.0) -> float:
        """What is in it beside what is reserved: at most a second's worth, or what is `needed` for one call."""
        if not self.limited:
            return math.inf
        most = max(self._per_second, needed) + reserved
        self._level = min(self._level + self._per_second * (now - self._at), most)
        self._at = now
        return self._level - reserved

    def take(self, amount: float) -> None:
        self._level -= amount
