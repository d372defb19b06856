"""AIMD window: how many calls a provider takes at once, found by its refusals (429). Pure.

Additive increase, multiplicative decrease. Four rules beyond the textbook, each for a target measured in
tests/ratelimit/test_governor.py (85 % of a hidden limit used within 30 s, at most 5 % of calls refused, at least half
of the limit used where 4 % of calls are refused at random):

- A cut goes down to what the provider accepted: one burst is one cut.
- Cuts in a row without an answer between them go down faster, and then pause.
- No growth right after a cut: each probe may cost another refusal.
- A rare refusal far below a size that worked lately is no reason for a cut; else random ones cut down to 1.
"""

import math

CUT = 0.9
DEEPEST_CUT = 0.5

CALM_S = 2.0
CALM_CALLS = 40
"""Time and answers without a refusal after a cut before the window grows again."""

STEP_S = 1.0
STEP_SHARE = 1 / 16
"""Time between two steps of growth, and a step as a share of the window: a large one must not take minutes."""

CUTS_BEFORE_PAUSE = 3
"""Cuts in a row, without an answer between them, before nothing is sent for a while."""

LONGEST_PAUSE_S = 8.0

RARE_ANSWERS = 12
BELOW_PEAK = 0.7
PEAK_S = 60.0
"""A refusal is rare after so many answers each, and unexpected at such a share of a size that worked so lately."""


class AimdWindow:
    """Window of calls in flight. Starts at the limit that the user set. `epoch` counts the cuts.

    A refusal of an earlier epoch is for the caller to drop: a burst is to be cut once.
    """

    def __init__(self, now: float) -> None:
        self.epoch = 0
        self.paused_until = now
        self._cap = 1
        self._size = math.inf
        self._cuts = 0
        self._answers = 0
        self._peak, self._peak_at = 0.0, -math.inf
        self._wait(now, 0.0, 0)

    @property
    def limit(self) -> float:
        """Calls in flight over all clients, at least 1."""
        return min(self._size, self._cap)

    def cap(self, largest: int) -> None:
        """Never be larger than this."""
        self._cap = largest

    def adopt(self, now: float, limit: float, epoch: int) -> None:
        """Take over what a client knows from a governor before this one."""
        self._size = max(min(self.limit, limit), 1.0)
        self.epoch = epoch
        self._wait(now, CALM_S, CALM_CALLS)

    def refuse(self, now: float, refused: int, accepted: int, finished: int) -> None:
        """Cut, after a burst of which so many calls were accepted and refused; `finished` were answered before it."""
        answers, self._answers = self._answers + finished, 0
        self.epoch += 1
        if answers >= RARE_ANSWERS * refused and self._is_far_below_peak(now):
            self._peak_at = now
            return
        if accepted >= self._peak or now - self._peak_at >= PEAK_S:
            self._peak, self._peak_at = min(self.limit, accepted + 1), now
        self._cuts += 1
        factor = max(CUT ** (2 ** (self._cuts - 1)), DEEPEST_CUT)
        self._size = max(min(self.limit * factor, accepted), 1.0)
        self._wait(now, CALM_S, CALM_CALLS)
        if self._cuts > CUTS_BEFORE_PAUSE:
            self.paused_until = now + min(0.25 * 2 ** (self._cuts - CUTS_BEFORE_PAUSE - 1), LONGEST_PAUSE_S)

    def confirm(self) -> None:
        """A call that began after the last cut was answered."""
        self._cuts = 0

    def grow(self, now: float, finished: int, demand: int) -> None:
        """Count answers, and grow when it is time. `demand` is the calls in flight and waiting."""
        self._answers += finished
        if demand < 0.9 * self.limit:  # not in full use: answers say nothing about a larger window
            self._wait(now, CALM_S, CALM_CALLS)
            return
        self._answers_missing -= finished
        if self._size < self._cap and now >= self._grows_at and self._answers_missing <= 0:
            self._size += max(1, int(self._size * STEP_SHARE))
            self._wait(now, STEP_S, int(self._size))

    def _is_far_below_peak(self, now: float) -> bool:
        return self.limit <= BELOW_PEAK * self._peak and now - self._peak_at < PEAK_S

    def _wait(self, now: float, seconds: float, answers: int) -> None:
        self._grows_at, self._answers_missing = now + seconds, answers
