"""The rate governor of one provider key: hears what every client did, and tells each how many calls it may make.

    Report (4 a second from each busy client) → Governor → Lease

Pure: no waiting, no network, no Ray; the clock is given. Its state is soft: every report says what the client was told
last, so that a governor that was born a moment ago goes on where the one before it ended.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from coe_ray.ratelimit.aimd import AimdWindow
from coe_ray.ratelimit.fair_share import fair_shares, whole_shares
from coe_ray.ratelimit.rate_budget import RateBudget

FORGOTTEN_S = 5.0
"""A client that is silent for so long is gone, and its slots go to the others."""

TURN_S = 1.0
"""Where slots cannot be shared out evenly, who gets one more changes after this time."""


@dataclass(frozen=True, slots=True)
class RateLimits:
    """What the user allows for one provider key."""

    max_concurrency: int = 64
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class UsageReport:
    """What one client does now, and what happened since its last report.

    `epoch` and `limit` are of its last lease. Of the calls begun in that epoch, `limited` were refused with 429 and
    `confirmed` answered; `accepted` is how many of those in flight at the first refusal were not refused.
    `finished` counts all answers.
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

    @property
    def demand(self) -> int:
        return self.in_flight + self.waiting


@dataclass(frozen=True, slots=True)
class Lease:
    """What a client may do until its next report: `slots` calls in flight, `starts` new ones (`None`: any number).

    `limit` is what all clients together have in flight at most.
    """

    epoch: int = 0
    limit: float | None = None
    slots: int = 0
    starts: int | None = None


@dataclass(slots=True, eq=False)
class _Client:
    report: UsageReport
    heard: float
    changed: float = -math.inf
    slots: int = 0
    credit: float = 0.0

    @property
    def claim(self) -> int:
        """Calls that it has or may come to have in flight, for all that is known."""
        return max(self.slots, self.report.in_flight)

    @property
    def turn(self) -> tuple[bool, float]:
        """Smaller comes first: who has had no slot for longest, and last who has had one for longest."""
        return (True, -self.changed) if self.slots else (False, self.changed)

    @property
    def room(self) -> float:
        """Calls that it could start until its next report, beyond those it was granted."""
        return max(self.report.waiting + self.report.started + 1 - self.credit, 0.0)


class RateGovernor:
    """One provider key's limit, shared out by max-min fairness. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._window = AimdWindow(clock())
        self._budget = RateBudget()
        self._clients: dict[str, _Client] = {}

    def report(self, report: UsageReport) -> Lease:
        """Take in what a client did; what it may do now. A client that wants nothing gives its lease back."""
        now = self._clock()
        client = self._heard(now, report)
        self._forget_silent(now)
        self._apply_limits()
        self._judge(now, report)
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

    def _heard(self, now: float, report: UsageReport) -> _Client:
        client = self._clients.setdefault(report.client, _Client(report, now))
        client.report, client.heard = report, now
        client.credit -= report.started if self._budget.is_limited else 0
        return client

    def _forget_silent(self, now: float) -> None:
        for name in [name for name, client in self._clients.items() if now - client.heard > FORGOTTEN_S]:
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

    def _judge(self, now: float, report: UsageReport) -> None:
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
        total, row = int(self._window.limit), self._row(now)
        shares = whole_shares(total, [max(each.report.demand, 1) for each in row])
        claimed = sum(each.claim for each in row if each is not client)
        # Slots that others still hold are not given away before they report again: the limit is never passed.
        return min(shares[row.index(client)], max(total - claimed, 0))

    def _row(self, now: float) -> list[_Client]:
        """The clients, in the order in which odd slots go to them."""
        clients = list(self._clients.values())
        if self._window.limit < len(clients):
            return sorted(clients, key=lambda each: each.turn)
        first = int(now / TURN_S) % len(clients)
        return clients[first:] + clients[:first]

    def _granted(self, now: float, client: _Client) -> int:
        clients = list(self._clients.values())
        reserved = self._in_flight() + sum(each.credit for each in clients)
        shares = fair_shares(self._budget.affordable_calls(now, reserved), [each.room for each in clients])
        for each, share in zip(clients, shares, strict=True):
            each.credit += share
        self._budget.start(sum(shares))
        return max(int(client.credit), 0)

    def _accepted_beside(self, report: UsageReport) -> int:
        """Calls of the other clients that the provider has taken: as far as is known, they use what they have."""
        others = [client for name, client in self._clients.items() if name != report.client]
        return sum(min(client.slots, client.report.demand) for client in others)

    def _in_flight(self) -> int:
        return sum(client.report.in_flight for client in self._clients.values())
