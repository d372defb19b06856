"""Token bucket: a level that rises with time up to a capacity, and falls with what is taken. Pure.

Rate and capacity are given with every question, as both may change at any time (replicas come and go, the mean size
of a call moves). The clock is the caller's, in seconds.
"""

import math


class TokenBucket:
    """One bucket, full at first. Two floats, so that every client may have one."""

    __slots__ = ("_at", "_level")

    def __init__(self) -> None:
        self._level = math.inf
        self._at = 0.0

    def level(self, now: float, per_second: float, capacity: float) -> float:
        """Tokens in it; less than 0 where more was taken than there was."""
        self._level = min(self._level + per_second * max(now - self._at, 0.0), capacity)
        self._at = now
        return self._level

    def take(self, tokens: float = 1.0) -> None:
        """Take tokens out; a negative number puts them back."""
        self._level -= tokens

    def wait_s(self, now: float, per_second: float, capacity: float, tokens: float = 1.0) -> float:
        """Seconds until it holds so many tokens; 0 where it does now."""
        return max(tokens - self.level(now, per_second, capacity), 0.0) / per_second
