"""Finds out whether calls stand in a queue at the provider, without knowing anything about it. Pure."""

import statistics

FILLED_S = 10.0
"""How long the limit must have been in full use before the first test: a short run shall not pay for one."""

AGED_S = 300.0
"""After this time what a test found is no longer believed."""

SHORTEST_S = 2.0
FEWEST = 30
"""A rate is measured over at least so many seconds and calls."""

SLOWER = 1.5
"""A median latency beyond this multiple of the one at half the calls is a reason to test again."""

AS_MANY = 0.9
FASTER = 0.75
"""Half the calls do as well where at least this share of the former rate takes at most this share of the latency."""


class Dip:
    """Now and then halves the calls in flight for a moment and looks how many finish, and how fast.

    Where half the calls finish as many per second, and each in about half the time (Little's law), the other half
    did nothing but wait in the provider's queue. Where fewer finish the limit was right, however long they take; where
    each takes as long as before the rates were an accident. A latency alone only says when to test.
    """

    def __init__(self, now: float) -> None:
        self.halved = False
        self._baseline: float | None = None
        self._tested = now
        self._queue_found = False
        self._before = (0.0, 0.0)
        self._medians: list[tuple[float, int]] = []
        self._filled = self._from = self._at = now
        self._finished = 0
        self._area = 0.0
        self._draining = False

    def abandon(self, now: float) -> None:
        """Measure nothing: the limit is not in full use, or something else explains the latency."""
        self.halved = False
        self._filled = now
        self._begin(now)

    def queued(self, now: float, finished: int, latency_s: float, in_flight: int, limit: float) -> bool:
        """Count what happened since the last call; true where a test has just found a queue.

        `latency_s` is the median of the `finished` calls.
        """
        self._finished += finished
        self._medians.append((latency_s, finished))
        self._area += in_flight * (now - self._at)
        self._at = now
        if self._draining:
            if in_flight <= limit:
                self._begin(now)
            return False
        if not self._measured(now):
            return False
        return self._compared(now) if self.halved else self._perhaps_halve(now, limit)

    def _measured(self, now: float) -> bool:
        if self._finished < FEWEST:
            return False
        mean = self._area / self._finished
        return now - self._from >= max(SHORTEST_S, 4 * mean)

    def _rate(self, now: float) -> float:
        return self._finished / (now - self._from)

    def _latency(self) -> float:
        return statistics.median(median for median, calls in self._medians for _ in range(calls))

    def _perhaps_halve(self, now: float, limit: float) -> bool:
        self.halved = self._draining = limit >= 4 and self._due(now)
        self._before = (self._rate(now), self._latency())
        self._begin(now, self._draining)
        return False

    def _compared(self, now: float) -> bool:
        rate, latency = self._before
        self._baseline = self._latency()
        self._queue_found = self._rate(now) >= AS_MANY * rate and self._baseline <= FASTER * latency
        self._tested = now
        self.halved = False
        self._begin(now)
        return self._queue_found

    def _due(self, now: float) -> bool:
        if self._baseline is None:
            return now - self._filled >= FILLED_S
        since = now - self._tested
        slower = self._latency() > SLOWER * self._baseline
        return self._queue_found or since >= AGED_S or (slower and since >= FILLED_S)

    def _begin(self, now: float, draining: bool = False) -> None:
        self._draining = draining
        self._medians = []
        self._from = self._at = now
        self._finished = 0
        self._area = 0.0
