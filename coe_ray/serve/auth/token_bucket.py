"""What one client may do at once and in a minute, in this process. Pure: the clock is the caller's."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """On all replicas together."""

    requests_per_minute: int
    concurrency: int

    def share(self, replicas: int) -> "Share":
        """One replica's part, rounded in the client's favour: nobody is locked out by their number."""
        return Share(max(self.requests_per_minute / replicas, 1.0), max(math.ceil(self.concurrency / replicas), 1))


@dataclass(frozen=True, slots=True)
class Share:
    """A replica's part of the limits: `burst` requests in a minute, or at once after a quiet one."""

    burst: float
    concurrency: int

    @property
    def every_s(self) -> float:
        """Seconds until one more request may come."""
        return 60 / self.burst


class Allowance:
    """A token bucket as one number (GCRA): when it will be full again. A client's whole state is this and a count."""

    __slots__ = ("_full_at", "under_way")

    def __init__(self) -> None:
        self._full_at = -math.inf
        self.under_way = 0

    def wait_s(self, share: Share, now: float) -> float:
        """Seconds until the next request may start; 0: now."""
        return max(self.full_in_s(now) + share.every_s - 60, 0.0)

    def start(self, share: Share, now: float) -> None:
        """Take off one request; `release` gives its place back, not its part of the minute."""
        self._full_at = max(self._full_at, now) + share.every_s
        self.under_way += 1

    def release(self) -> None:
        self.under_way -= 1

    def left(self, share: Share, now: float) -> int:
        """Requests that may still start at once."""
        return max(math.floor((60 - self.full_in_s(now)) / share.every_s + 1e-9), 0)

    def full_in_s(self, now: float) -> float:
        """Seconds until everything may be used again."""
        return max(self._full_at - now, 0.0)
