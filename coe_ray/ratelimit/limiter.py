"""What a process asks before it sends a request: one gate for each provider key, shared by the models behind it.

    call → Slot (waits its turn) → request
             └─ Gate obeys a Lease, and exchanges a Report for the next one 4 times a second (governor.py)

A call that finds a free slot costs no exchange and no wait. While the governor is away the gate goes on with its last
lease. While nothing is asked there is no exchange, no timer and no task.
"""

import asyncio
import logging
import math
import os
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import TypeAlias

from coe_ray.core.call_activity import CallActivity
from coe_ray.core.errors import RateLimited
from coe_ray.core.fail_fast import FAIL_FAST_WAIT_S, must_fail_fast
from coe_ray.core.types import Usage
from coe_ray.ratelimit.fair_queue import FairQueue
from coe_ray.ratelimit.governor import Lease, RateLimits, UsageReport

__all__ = ["CallLimiter", "Exchange", "Lease", "LimiterSlot", "RateLimits", "UsageReport"]

log = logging.getLogger(__name__)

Exchange: TypeAlias = Callable[[UsageReport], Awaitable[Lease]]
"""One provider's governor, wherever it lives. Raises what it likes where it cannot be reached."""

EXCHANGE_S = 0.25
AWAY_S = 0.5
"""Time between exchanges, while the governor answers and while it does not."""

PATIENCE_S = 1.0
FIRST_PATIENCE_S = 10.0
"""How long one exchange may take: the first longer, as there is no lease yet to go on with."""

SETTLE_S = 0.03
SETTLE_LIMIT_S = 0.5
"""After a refusal: so long without another one, or so long in all, until the burst is reported as a whole."""


class SaturatedError(Exception):
    """No turn came in the time that an impatient call has."""


class LimiterSlot:
    """A turn to send one request: `async with gate.slot() as slot`. In flight from within until it is left.

    `RateLimited` that leaves through it is told to the governor; other errors count neither as answered nor as refused.
    `waited_s` is how long it waited for its turn.
    """

    __slots__ = ("_began", "_check", "_flight", "_gate", "epoch", "waited_s")

    def __init__(self, gate: "CallLimiter", check: Callable[[], None] | None) -> None:
        self._gate = gate
        self._check = check
        self.epoch = 0
        self.waited_s = 0.0

    async def __aenter__(self) -> "LimiterSlot":
        if not self._gate.enter():
            await self._turn()
        self.epoch, self._began = self._gate.epoch, _now()
        self._flight: AbstractContextManager[None] = self._gate.activity.count_in_flight()
        try:
            if self._check:
                self._check()
            self._flight.__enter__()
        except BaseException as error:  # nobody may send it, or who was told of it could not note it
            self._gate.leave(self.epoch, 0.0, error)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flight.__exit__(None, None, None)
        self._gate.leave(self.epoch, _now() - self._began, error)

    def used(self, usage: Usage) -> None:
        """Count the tokens of the finished call."""
        self._gate.use(usage.prompt_tokens + usage.completion_tokens)

    async def _turn(self) -> None:
        began = _now()
        with self._gate.activity.count_waiting():
            try:
                async with asyncio.timeout(FAIL_FAST_WAIT_S if must_fail_fast() else None):
                    await self._gate.turn()
            except TimeoutError:
                raise SaturatedError from None
        self.waited_s = _now() - began


@dataclass(slots=True)
class _Tally:
    """What the governor has not heard of yet."""

    finished: int = 0
    confirmed: int = 0
    tokens: int = 0
    latencies: list[float] = field(default_factory=list)

    def add(self, other: "_Tally") -> None:
        self.finished += other.finished
        self.confirmed += other.confirmed
        self.tokens += other.tokens
        self.latencies += other.latencies


class CallLimiter:
    """One provider key's door in this process. Serves one event loop at a time."""

    def __init__(self, provider: str, limits: RateLimits, governor: Exchange, activity: CallActivity) -> None:
        self.activity = activity
        self._provider = provider
        self._limits = limits
        self._governor = governor
        self._client = uuid.uuid4().hex
        self._lease = Lease()
        self._turns = FairQueue()
        self._tally = _Tally()
        self._limited = 0
        self._crowd = 0
        self._away = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._exchanging: asyncio.Task[None] | None = None
        self._clocks = (0.0, 0.0)
        self._burst_began = 0.0
        self._not_before = 0.0

    @property
    def epoch(self) -> int:
        return self._lease.epoch

    def slot(self, check: Callable[[], None] | None = None) -> LimiterSlot:
        """A turn, first come, first served. What `check` raises when it has come is raised, and nothing was sent."""
        return LimiterSlot(self, check)

    def join(self, limits: RateLimits) -> None:
        """Another model goes through this gate, too."""
        self._limits = RateLimits(
            max(self._limits.max_concurrency, limits.max_concurrency),
            _smaller(self._limits.requests_per_minute, limits.requests_per_minute),
            _smaller(self._limits.tokens_per_minute, limits.tokens_per_minute),
        )

    def enter(self) -> bool:
        """Take a free slot where there is one and nobody waits."""
        if asyncio.get_running_loop() is not self._loop:
            self._move()
        return self._turns.take()

    async def turn(self) -> None:
        """Wait for a slot and take it. A waiter that is cancelled loses no slot."""
        if self._timer is None and not self._is_exchanging():
            self._exchange_in(0)
        await self._turns.wait()

    def leave(self, epoch: int, seconds: float, error: BaseException | None) -> None:
        """A call of `epoch` is over, after so many seconds."""
        if error is None:
            self._tally.finished += 1
            self._tally.latencies.append(seconds)
            self._tally.confirmed += epoch == self.epoch
        elif isinstance(error, RateLimited) and epoch == self.epoch:
            self._refused()
        self._turns.end()

    def use(self, tokens: int) -> None:
        self._tally.tokens += tokens

    def _refused(self) -> None:
        now = _now()
        if not self._limited:
            self._crowd, self._burst_began = self._turns.taken, now
        self._limited += 1
        self._turns.held = True
        # The rest of the burst is on its way: reported together, it is one cut to what was accepted.
        if not self._is_exchanging():
            self._exchange_in(min(SETTLE_S, max(self._burst_began + SETTLE_LIMIT_S - now, 0)))

    def _move(self) -> None:
        """Another event loop: the former one's timers will never fire, and nobody waits there any more."""
        self._loop = asyncio.get_running_loop()
        self._timer = self._exchanging = None
        self._turns.clear()

    def _exchange_in(self, seconds: float) -> None:
        if self._timer:
            self._timer.cancel()
        delay = max(seconds, self._not_before - _now())
        self._timer = asyncio.get_running_loop().call_later(delay, self._start_exchange)

    def _is_exchanging(self) -> bool:
        return self._exchanging is not None and not self._exchanging.done()

    def _start_exchange(self) -> None:
        self._timer = None
        self._exchanging = asyncio.get_running_loop().create_task(self._exchange())

    async def _exchange(self) -> None:
        report, told = self._report(), self._tally
        self._tally = _Tally()
        if not report.demand:
            self._turns.slots = 0  # given back: nothing may start on it in the meantime
        try:
            async with asyncio.timeout(FIRST_PATIENCE_S if report.limit is None else PATIENCE_S):
                lease = await self._governor(report)
        except Exception as error:  # whatever it is, calls go on without a governor
            self._tally.add(told)
            self._warn(error)
            self._go_on_alone(report)
        else:
            self._turns.begun -= report.started
            self._obey(lease)
        self._exchanging = None
        self._turns.admit()
        self._plan(report)

    def _report(self) -> UsageReport:
        tally = self._tally
        return UsageReport(
            client=f"{self._client}-{os.getpid()}",  # a gate may have come here with a model that was shipped
            limits=self._limits,
            epoch=self._lease.epoch,
            limit=self._lease.limit,
            in_flight=self._turns.taken,
            waiting=self._turns.waiting,
            started=self._turns.begun,
            finished=tally.finished,
            confirmed=tally.confirmed,
            limited=self._limited,
            accepted=self._crowd - self._limited,
            tokens=tally.tokens,
        )

    def _busy(self) -> float:
        """Share of the time since the last report in which this thread, the event loop's, used the CPU."""
        (wall, used), self._clocks = self._clocks, (_now(), time.thread_time())
        return (self._clocks[1] - used) / max(self._clocks[0] - wall, 1e-9)

    def _obey(self, lease: Lease) -> None:
        if self._away:
            log.info("rate governor of provider %.8s answers again", self._provider)
        self._away = False
        self._take(lease, math.inf if lease.starts is None else lease.starts - self._turns.begun)

    def _take(self, lease: Lease, starts: float) -> None:
        if lease.epoch != self.epoch:
            self._limited = 0
            self._tally.confirmed = 0
            self._turns.held = False
        self._lease = lease
        self._turns.slots, self._turns.starts = lease.slots, starts

    def _warn(self, error: Exception) -> None:
        if not self._away:
            log.warning("rate governor of provider %.8s is away, its last lease is kept: %r", self._provider, error)
        self._away = True

    def _go_on_alone(self, report: UsageReport) -> None:
        """Keep the last lease; half of it after a refusal. A process that was idle has none, and takes one slot."""
        self._not_before = _now() + AWAY_S
        slots = max(self._lease.slots, 1)
        lease = replace(self._lease, slots=slots, limit=self._lease.limit or slots)
        if self._limited:
            limit = max((lease.limit or slots) / 2, 1.0)
            lease = replace(lease, epoch=lease.epoch + 1, limit=limit, slots=max(slots // 2, 1))
        self._take(lease, math.inf if lease.starts is None else max(lease.starts, 1))
        if not report.demand:
            self._turns.slots = 0

    def _plan(self, told: UsageReport) -> None:
        """When the next exchange is due, if at all."""
        if self._limited:
            self._exchange_in(SETTLE_S)
        elif self._turns.taken or self._turns.waiting:
            self._exchange_in(EXCHANGE_S if told.demand else 0)
        elif told.demand:
            self._exchange_in(EXCHANGE_S)  # so that the governor hears that it is over


def _now() -> float:
    """The event loop's own clock, in seconds: the one that its timers go by."""
    return asyncio.get_running_loop().time()


def _smaller(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)
