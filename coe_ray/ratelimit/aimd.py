"""AIMD window: how many calls a provider takes at once, found by its refusals (429). Pure.

Additive increase, multiplicative decrease. The rules beyond the textbook are each for a target that is measured in
tests/ratelimit/test_governor.py: 85 % of a hidden limit used within 30 s, at most 5 % of calls refused, at least half
of the limit used where 4 % of calls are refused at random, and one refusal is not an outage:

- One burst is one cut, to what the provider accepted. Slots that nobody used count as accepted. More than half of the
  window is cut only where it was in use and the provider accepted some of its calls: then its limit is known.
- Cuts in a row, without an answer between them, go down faster, and then pause.
- Time leads back where a refusal says little about the size: it was the first for a while, or few calls were under way.
- Otherwise no growth right after a cut: each probe may cost another refusal.
- A rare refusal far below a size that worked lately is no reason for a cut; else random ones cut down to 1.
"""

import math

CUT = 0.9
DEEPEST_CUT = 0.5

FULL_USE = 0.9
SIGNIFICANT_USE = 0.75
"""Shares of the window in use from which answers, and refusals, say something about its size."""

FEW = 0.1
SINGLE_S = 60.0
"""One refusal, or up to such a share of the window, are few; they are single so long after the ones before them."""

RECOVERY_S = 8.0
"""Time from a cut until the window is back, and without full use until all cuts are forgotten."""

CALM_S = 2.0
CALM_CALLS = 40
"""Time and answers without a refusal after a cut before the window grows beyond what was accepted."""

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
        self._size = self._cut_size = self._goal = math.inf
        self._cut_at = self._refused_at = self._full_at = -math.inf
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
        self.epoch = epoch
        self._resize(now, min(self.limit, limit), goal=1.0)
        self._full_at = now

    def refuse(self, now: float, refused: int, accepted: int, finished: int) -> None:
        """Cut, after a burst of which so many calls were accepted and refused; `finished` were answered before it."""
        self.recover(now)
        answers, self._answers = self._answers + finished, 0
        single, self._refused_at = now - self._refused_at >= SINGLE_S, now
        self.epoch += 1
        few = refused <= max(FEW * self.limit, 1)
        in_use = accepted + refused >= SIGNIFICANT_USE * int(self.limit)
        if few and not in_use:
            self._resize(now, self.limit - refused, goal=max(self.limit, self._goal))
            return
        self._full_at = now
        if answers >= RARE_ANSWERS * refused and self._is_far_below_peak(now):
            self._peak_at = now
            return
        if accepted >= self._peak or now - self._peak_at >= PEAK_S:
            self._peak, self._peak_at = min(self.limit, accepted + 1), now
        self._cuts += 1
        largest = self.limit - 1
        if self._cuts > 1:
            largest = self.limit * max(CUT ** (2 ** (self._cuts - 1)), DEEPEST_CUT)
        lowest = 0.0 if in_use and accepted else self.limit * DEEPEST_CUT
        size = max(min(largest, accepted), lowest)
        self._resize(now, size, goal=self.limit if single and few else size)
        if self._cuts > CUTS_BEFORE_PAUSE:
            self.paused_until = now + min(0.25 * 2 ** (self._cuts - CUTS_BEFORE_PAUSE - 1), LONGEST_PAUSE_S)

    def confirm(self) -> None:
        """A call that began after the last cut was answered."""
        self._cuts = 0

    def recover(self, now: float) -> None:
        """Grow back by the time that has passed since the last cut."""
        quiet = now - max(self._full_at, self._refused_at) >= RECOVERY_S
        goal = self._cap if quiet else min(self._goal, self._cap)
        share = min((now - self._cut_at) / RECOVERY_S, 1.0)
        if goal > self._cut_size:
            self._size = max(self._size, self._cut_size + (goal - self._cut_size) * share)

    def grow(self, now: float, finished: int, demand: int) -> None:
        """Count answers, and grow when it is time. `demand` is the calls in flight and waiting."""
        self.recover(now)
        self._answers += finished
        if demand < FULL_USE * self.limit:  # answers say nothing about a larger window
            self._wait(now, CALM_S, CALM_CALLS)
            return
        self._full_at = now
        self._answers_missing -= finished
        if self._size < self._cap and now >= self._grows_at and self._answers_missing <= 0:
            self._size += max(1, int(self._size * STEP_SHARE))
            self._wait(now, STEP_S, int(self._size))

    def _resize(self, now: float, size: float, goal: float) -> None:
        self._size = self._cut_size = max(size, 1.0)
        self._goal, self._cut_at = goal, now
        self._wait(now, CALM_S, CALM_CALLS)

    def _is_far_below_peak(self, now: float) -> bool:
        return self.limit <= BELOW_PEAK * self._peak and now - self._peak_at < PEAK_S

    def _wait(self, now: float, seconds: float, answers: int) -> None:
        self._grows_at, self._answers_missing = now + seconds, answers
