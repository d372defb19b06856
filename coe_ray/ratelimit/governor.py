"""Rate governor of one provider key: takes every client's usage and leases it a number of calls.

    UsageReport (4 a second from each busy client) → RateGovernor → Lease

Pure: no waiting, no network, no Ray; the clock is given. Its state is soft: every report says what the client was told
last, so that a governor that was born a moment ago goes on where the one before it ended.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from coe_ray.ratelimit.aimd import AimdWindow
from coe_ray.ratelimit.fair_share import fair_shares, whole_shares
from coe_ray.ratelimit.rate_budget import RateBudget

FORGOTTEN_S = 5.0
"""A client without a report for so long is gone, and its slots go to the others."""

ROTATION_S = 1.0
"""Where slots cannot be shared evenly, the client that gets one more changes after this time."""


LIVE_PART = 8
LIVE_S = 600.0
"""So long after the last live request, one in so many slots is kept for the next one, which need not wait for a job's
calls to end."""


@dataclass(frozen=True, slots=True)
class RateLimits:
    """The user's limits for one provider key."""

    max_concurrency: int = 64
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Report of one client: its state, and counts since its last report.

    `epoch` and `limit` are of its last lease. Of the calls begun in that epoch, `limited` were refused with 429 and
    `confirmed` answered; `accepted` is how many of those in flight at the first refusal were not refused.
    `finished` counts all answers. `is_live`: live requests, which come before a job's.
    """

    client: str
    limits: RateLimits
    epoch: int = 0
    limit: float | None = None
    in_flight: int = 0
    waiting: int = 0
    started: int = 0
    finished: int = 0
    confirmed: int = 0
    limited: int = 0
    accepted: int = 0
    tokens: int = 0
    is_live: bool = False

    @property
    def demand(self) -> int:
        return self.in_flight + self.waiting


@dataclass(frozen=True, slots=True)
class Lease:
    """Lease of one client until its next report: `slots` calls in flight, `starts` new ones (`None`: any number).

    `limit` is what all clients together have in flight at most.
    """

    epoch: int = 0
    limit: float | None = None
    slots: int = 0
    starts: int | None = None


@dataclass(slots=True, eq=False)
class _Client:
    report: UsageReport
    reported_at: float
    changed: float = -math.inf
    slots: int = 0
    credit: float = 0.0

    @property
    def claim(self) -> int:
        """Calls that it has or may have in flight."""
        return max(self.slots, self.report.in_flight)

    @property
    def priority(self) -> tuple[bool, float]:
        """Smaller is first: the client longest without a slot; last is the one longest with a slot."""
        return (True, -self.changed) if self.slots else (False, self.changed)

    @property
    def room(self) -> float:
        """Calls that it could start until its next report, beyond the granted ones."""
        return max(self.report.waiting + self.report.started + 1 - self.credit, 0.0)


class RateGovernor:
    """Governor of one provider key: its limit, shared by max-min fairness, live requests first.

    `clock` gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._window = AimdWindow(clock())
        self._budget = RateBudget()
        self._clients: dict[str, _Client] = {}
        self._live_until = -math.inf

    def report(self, report: UsageReport) -> Lease:
        """Record a client's report and return its lease. A client without demand gives its lease back."""
        now = self._clock()
        client = self._update(now, report)
        self._forget_silent(now)
        self._apply_limits()
        self._adjust_window(now, report)
        self._budget.record_usage(report.tokens, report.finished)
        if not report.demand:
            self._forget(report.client)
            return Lease(self._window.epoch, self._window.limit)
        starts = self._granted(now, client) if self._budget.is_limited else None
        slots = self._slots(now, client)
        if bool(slots) is not bool(client.slots):
            client.changed = now
        client.slots = slots
        return Lease(self._window.epoch, self._window.limit, slots, starts)

    def _update(self, now: float, report: UsageReport) -> _Client:
        client = self._clients.setdefault(report.client, _Client(report, now))
        client.report, client.reported_at = report, now
        if report.is_live:
            self._live_until = now + LIVE_S
        client.credit -= report.started if self._budget.is_limited else 0
        return client

    def _forget_silent(self, now: float) -> None:
        for name in [name for name, client in self._clients.items() if now - client.reported_at > FORGOTTEN_S]:
            self._forget(name)

    def _forget(self, name: str) -> None:
        self._budget.start(-self._clients.pop(name).credit)

    def _apply_limits(self) -> None:
        limits = [client.report.limits for client in self._clients.values()]
        self._window.cap(max(each.max_concurrency for each in limits))
        self._budget.set_limits(
            min((each.requests_per_minute for each in limits if each.requests_per_minute), default=None),
            min((each.tokens_per_minute for each in limits if each.tokens_per_minute), default=None),
        )

    def _adjust_window(self, now: float, report: UsageReport) -> None:
        window = self._window
        if report.limit is not None and report.epoch > window.epoch:
            window.adopt(now, report.limit, report.epoch)
        current = report.epoch == window.epoch
        if current and report.confirmed:
            window.confirm()
        if current and report.limited:
            window.refuse(now, report.limited, report.accepted + self._accepted_beside(report), report.finished)
        else:
            window.grow(now, report.finished, sum(client.report.demand for client in self._clients.values()))

    def _slots(self, now: float, client: _Client) -> int:
        if now < self._window.paused_until:
            return 0
        total, group = self._total(now, client), self._group(is_live=client.report.is_live)
        row = self._row(now, total, group)
        shares = whole_shares(total, [max(each.report.demand, 1) for each in row])
        # Slots that others still hold are not leased before they report again: the limit is never passed.
        left = min(total - _claimed(group, client), int(self._window.limit) - _claimed(self._clients.values(), client))
        return min(shares[row.index(client)], max(left, 0))

    def _group(self, *, is_live: bool) -> list[_Client]:
        return [client for client in self._clients.values() if client.report.is_live is is_live]

    def _total(self, now: float, client: _Client) -> int:
        """Slots of all live clients, or of all jobs: what live requests want or is kept for them, and the rest."""
        total = int(self._window.limit)
        if client.report.is_live and not self._group(is_live=False):
            return total
        kept = -(-total // LIVE_PART) if total > 1 and now < self._live_until else 0
        live = min(max(sum(each.report.demand for each in self._group(is_live=True)), kept), total)
        return live if client.report.is_live else total - live

    def _row(self, now: float, total: int, clients: list[_Client]) -> list[_Client]:
        """The clients in the order in which the last slots go to them."""
        if total < len(clients):
            return sorted(clients, key=lambda each: each.priority)
        first = int(now / ROTATION_S) % len(clients)
        return clients[first:] + clients[:first]

    def _granted(self, now: float, client: _Client) -> int:
        reserved = sum(each.report.in_flight + each.credit for each in self._clients.values())
        affordable = self._budget.affordable_calls(now, reserved)
        for clients in (self._group(is_live=True), self._group(is_live=False)):
            shares = fair_shares(affordable, [each.room for each in clients])
            for each, share in zip(clients, shares, strict=True):
                each.credit += share
            self._budget.start(sum(shares))
            affordable -= sum(shares)
        return max(int(client.credit), 0)

    def _accepted_beside(self, report: UsageReport) -> int:
        """Calls of the other clients that the provider has accepted: they are assumed to use all their slots."""
        others = [client for name, client in self._clients.items() if name != report.client]
        return sum(min(client.slots, client.report.demand) for client in others)


def _claimed(clients: Iterable[_Client], but: _Client) -> int:
    return sum(each.claim for each in clients if each is not but)
