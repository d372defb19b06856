"""How many calls a provider takes at once: found out by its refusals (429) and its latency. Pure.

Additive increase, multiplicative decrease, with CUBIC's memory (RFC 9438) of the size that hurt last: quickly back to
just below it, rarely beyond, then ever faster as long as it goes well.
"""

import math

from coe_ray.ratelimit.dip import Dip

CUT = 0.9
DEEPEST_CUT = 0.5
RECOVER_S = 1.0
"""Time from the cut back to just below the size that hurt."""

CALM_S = 2.0
CALM_CALLS = 40
"""Time and finished calls without a refusal before it is probed again: each probe may cost one more refusal."""

STEP_S = 1.0
PATIENT_CUTS = 3
"""Cuts in a row, without one answer between them, before nothing is sent for a while."""

LONGEST_PAUSE_S = 8.0
REFUSED_S = 30.0
"""A provider that refused so lately says itself when it is full: its queue is not tested."""

STRAY_ANSWERS = 12
STRAY_BELOW = 0.7
PEAK_S = 60.0
"""A refusal after so many answers each, at so small a part of a size that was taken so lately, has other reasons."""

QUEUE_S = 60.0
"""How long it does not grow after a queue was found."""


class AimdWindow:
    """Starts as large as it may be: the user has named that size. `epoch` counts the cuts.

    A refusal that belongs to an earlier epoch is for the caller to drop: a burst is to be cut once.
    """

    def __init__(self, now: float) -> None:
        self.epoch = 0
        self.paused_until = now
        self._cap = 1
        self._size = math.inf
        self._hurt = math.inf
        self._cut_to = 1.0
        self._cuts = 0
        self._step = 1
        self._refused = -math.inf
        self._answered_since = 0
        self._peak, self._peak_at = 0.0, -math.inf
        self._rests_until = now
        self._dip = Dip(now)
        self._at = self._since = self._began_step = now
        self._answered = self._answered_in_step = 0

    @property
    def limit(self) -> float:
        """Calls in flight over all clients, at least 1."""
        size = min(self._size, self._cap)
        return max(size / 2, 1.0) if self._dip.halved else size

    def cap(self, largest: int) -> None:
        """Never be larger than this."""
        self._cap = largest

    def adopt(self, limit: float, epoch: int) -> None:
        """Take over what a client knows from times before this window."""
        self._size = max(min(self.limit, limit), 1.0)
        self._hurt = self._size + 1
        self.epoch = epoch

    def refuse(self, now: float, refused: int, accepted: int, finished: int) -> None:
        """Cut, for a burst in which the provider took `accepted` calls and refused `refused`; `finished` were answered.

        Cuts that follow each other without an answer in between go down ever faster, and then pause. A provider that
        refuses some calls however few there are is not cut down to nothing.
        """
        answers, self._answered_since = self._answered_since + finished, 0
        self._refused = now
        if answers >= STRAY_ANSWERS * refused and self._is_far_below_peak(now):
            self.epoch += 1  # so that the clients go on
            self._peak_at = now
            return
        before = self.limit
        self._cuts += 1
        factor = max(CUT ** (2 ** (self._cuts - 1)), DEEPEST_CUT)
        self._remember_peak(now, min(before, accepted + 1))
        self._cut(now, max(min(before * factor, accepted), 1.0), min(before, accepted + 1))
        if self._cuts > PATIENT_CUTS:
            self.paused_until = now + min(0.25 * 2 ** (self._cuts - PATIENT_CUTS - 1), LONGEST_PAUSE_S)

    def confirm(self) -> None:
        """A call that began after the last cut was answered."""
        self._cuts = 0

    def grow(self, now: float, finished: int, latency_s: float, in_flight: int, demand: int, *, strained: bool) -> None:
        """Count answers and their median latency, and grow where it is time to.

        `demand` is what is in flight or would like to be. `strained`: a client is short of CPU, so that latency says
        nothing of the provider.
        """
        elapsed, self._at = now - self._at, now
        self._answered_since += finished
        if demand < 0.9 * self.limit:
            self._dip.abandon(now)
            self._calm(now)
            return
        self._answered += finished
        self._answered_in_step += finished
        self._test_queue(now, finished, latency_s, in_flight, strained)
        if not self._dip.halved and self._size < self._cap and now >= self._rests_until:
            self._enlarge(now, elapsed)

    def _is_far_below_peak(self, now: float) -> bool:
        return self.limit <= STRAY_BELOW * self._peak and now - self._peak_at < PEAK_S

    def _remember_peak(self, now: float, size: float) -> None:
        if size >= self._peak or now - self._peak_at >= PEAK_S:
            self._peak, self._peak_at = size, now

    def _test_queue(self, now: float, finished: int, latency_s: float, in_flight: int, strained: bool) -> None:
        if strained or now - self._refused < REFUSED_S:
            self._dip.abandon(now)
            return
        half = self.limit
        if self._dip.queued(now, finished, latency_s, in_flight, half):
            self._cut(now, half, half + 1)
            self._rests_until = now + QUEUE_S

    def _enlarge(self, now: float, elapsed: float) -> None:
        near = self._hurt - 1
        if self._size < near:
            self._size = min(self._size + (near - self._cut_to) * elapsed / RECOVER_S, near)
        elif self._is_calm(now):
            self._size += self._step
            self._began_step, self._answered_in_step = now, 0
            if self._size > self._hurt:
                self._step = max(min(self._step * 2, int(self._size / 4)), 1)

    def _is_calm(self, now: float) -> bool:
        calm = now - self._since >= CALM_S and self._answered >= CALM_CALLS
        return calm and now - self._began_step >= STEP_S and self._answered_in_step >= self._size

    def _cut(self, now: float, size: float, hurt: float) -> None:
        self.epoch += 1
        self._size = self._cut_to = size
        self._hurt = hurt
        self._step = 1
        self._dip.abandon(now)
        self._calm(now)

    def _calm(self, now: float) -> None:
        self._at = self._since = self._began_step = now
        self._answered = self._answered_in_step = 0
