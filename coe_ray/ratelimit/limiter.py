"""Call limiter: one for each provider key of a process, shared by the models that use the key.

    call → LimiterSlot (waits in the queue) → request
             └─ CallLimiter applies a Lease, and exchanges a UsageReport for the next one 4 times a second (governor.py)

A call that finds a free slot needs no exchange and no wait. While the governor does not answer, the limiter keeps its
last lease. Without calls there is no exchange, no timer and no task.
"""

import asyncio
import hashlib
import logging
import math
import os
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

from coe_ray.core.call_activity import CallActivity
from coe_ray.core.errors import RateLimited
from coe_ray.core.fail_fast import FAIL_FAST_WAIT_S, must_fail_fast
from coe_ray.core.types import Usage
from coe_ray.ratelimit.fair_queue import FairQueue
from coe_ray.ratelimit.governor import Lease, RateGovernor, RateLimits, UsageReport

log = logging.getLogger(__name__)

Exchange: TypeAlias = Callable[[UsageReport], Awaitable[Lease]]
"""Call to one provider's governor, local or remote. Any exception means that it does not answer."""

EXCHANGE_S = 0.25
RETRY_EXCHANGE_S = 0.5
"""Time between exchanges, while the governor answers and while it does not."""

EXCHANGE_TIMEOUT_S = 1.0
FIRST_EXCHANGE_TIMEOUT_S = 10.0
"""How long one exchange may take: the first longer, as there is no lease yet."""

SETTLE_S = 0.03
SETTLE_LIMIT_S = 0.5
"""After a refusal: so long without another one, or so long in all, until the burst is reported as a whole."""


class SaturatedError(Exception):
    """A fail-fast call got no slot in time."""


@dataclass(frozen=True, slots=True)
class LimiterSlot:
    """Slot of one request; `waited_s` is the time in the queue."""

    waited_s: float
    _count_tokens: Callable[[int], None]

    def used(self, usage: Usage) -> None:
        """Count the tokens of the finished call."""
        self._count_tokens(usage.prompt_tokens + usage.completion_tokens)


class CallLimiter:
    """Limiter of one provider key in this process. Serves one event loop at a time.

    `is_live`: its calls are live requests, which the governor serves before those of jobs.
    """

    def __init__(
        self, provider: str, limits: RateLimits, governor: Exchange, activity: CallActivity, *, is_live: bool = False
    ) -> None:
        self.activity = activity
        self._provider = provider
        self._limits = limits
        self._governor = governor
        self._is_live = is_live
        self._client = uuid.uuid4().hex
        self._lease = Lease()
        self._queue = FairQueue()
        self._tally = Counter[str]()  # since the last report, by its fields
        self._limited = 0
        self._crowd = 0
        self._away = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._exchanging: asyncio.Task[None] | None = None
        self._burst_began = 0.0
        self._not_before = 0.0

    @asynccontextmanager
    async def slot(self, model: str = "", check: Callable[[], None] | None = None) -> AsyncIterator[LimiterSlot]:
        """A slot for a call of `model`; models take turns. The request counts as in flight inside the block.

        `check` is called when the slot is free; its error is raised, nothing sent. A `RateLimited` raised inside is
        reported to the governor; other errors count neither as answered nor as refused.
        """
        waited_s = await self._take(model)
        epoch = self._lease.epoch
        try:
            if check:
                check()
            with self.activity.count_in_flight():
                yield LimiterSlot(waited_s, self._count_tokens)
        except BaseException as error:
            if isinstance(error, RateLimited) and error.attempts and epoch == self._lease.epoch:
                self._refused()
            raise
        else:
            self._tally["finished"] += 1
            self._tally["confirmed"] += epoch == self._lease.epoch
        finally:
            self._queue.end(model)

    def join(self, limits: RateLimits) -> None:
        """Join the limits of another model with the same key."""
        self._limits = RateLimits(
            max(self._limits.max_concurrency, limits.max_concurrency),
            _smaller(self._limits.requests_per_minute, limits.requests_per_minute),
            _smaller(self._limits.tokens_per_minute, limits.tokens_per_minute),
        )

    def _count_tokens(self, tokens: int) -> None:
        self._tally["tokens"] += tokens

    async def _take(self, model: str) -> float:
        """Take a slot; the seconds in the queue. A cancelled waiter takes none."""
        if asyncio.get_running_loop() is not self._loop:
            self._move()
        if self._queue.take(model):
            return 0.0
        began = _now()
        if self._timer is None and not self._is_exchanging():
            self._exchange_in(0)
        with self.activity.count_waiting():
            try:
                async with asyncio.timeout(FAIL_FAST_WAIT_S if must_fail_fast() else None):
                    await self._queue.wait(model)
            except TimeoutError:
                raise SaturatedError from None
        return _now() - began

    def _refused(self) -> None:
        now = _now()
        if not self._limited:
            self._crowd, self._burst_began = self._queue.taken, now
        self._limited += 1
        self._queue.held = True
        # More refusals of the burst will follow: reported together, they are one cut to what was accepted.
        if not self._is_exchanging():
            self._exchange_in(min(SETTLE_S, max(self._burst_began + SETTLE_LIMIT_S - now, 0)))

    def _move(self) -> None:
        """Change to the running event loop: timers and waiters of the former one are gone."""
        self._loop = asyncio.get_running_loop()
        self._timer = self._exchanging = None
        self._queue.clear()

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
        report, tally = self._report(), self._tally
        self._tally = Counter()
        if not report.demand:
            self._queue.slots = 0  # given back with this report: nothing may start on them
        try:
            async with asyncio.timeout(FIRST_EXCHANGE_TIMEOUT_S if report.limit is None else EXCHANGE_TIMEOUT_S):
                lease = await self._governor(report)
        except Exception as error:  # any error: calls go on without a governor, and it is logged
            self._tally += tally
            if not self._away:
                message = "rate governor of provider %.8s does not answer, its last lease is kept: %r"
                log.warning(message, self._provider, error)
            self._away = True
            self._go_on_alone(report)
        else:
            if self._away:
                log.info("rate governor of provider %.8s answers again", self._provider)
            self._away = False
            self._queue.begun -= report.started
            self._apply(lease, math.inf if lease.starts is None else lease.starts - self._queue.begun)
        self._exchanging = None
        self._queue.admit()
        self._plan(report)

    def _report(self) -> UsageReport:
        return UsageReport(
            client=f"{self._client}-{os.getpid()}",  # a limiter may have been pickled into this process
            limits=self._limits,
            epoch=self._lease.epoch,
            limit=self._lease.limit,
            in_flight=self._queue.taken,
            waiting=self._queue.waiting,
            started=self._queue.begun,
            limited=self._limited,
            accepted=self._crowd - self._limited,
            is_live=self._is_live,
            **self._tally,
        )

    def _apply(self, lease: Lease, starts: float) -> None:
        if lease.epoch != self._lease.epoch:
            self._limited = 0
            self._tally["confirmed"] = 0
            self._queue.held = False
        self._lease = lease
        self._queue.slots, self._queue.starts = lease.slots, starts

    def _go_on_alone(self, report: UsageReport) -> None:
        """Keep the last lease; halve it after a refusal. A process that was idle has none and takes one slot."""
        self._not_before = _now() + RETRY_EXCHANGE_S
        slots = max(self._lease.slots, 1)
        lease = replace(self._lease, slots=slots, limit=self._lease.limit or slots)
        if self._limited:
            limit = max((lease.limit or slots) / 2, 1.0)
            lease = replace(lease, epoch=lease.epoch + 1, limit=limit, slots=max(slots // 2, 1))
        self._apply(lease, math.inf if lease.starts is None else max(lease.starts, 1))
        if not report.demand:
            self._queue.slots = 0

    def _plan(self, report: UsageReport) -> None:
        """Schedule the next exchange, if one is needed."""
        if self._limited:
            self._exchange_in(SETTLE_S)
        elif self._queue.taken or self._queue.waiting:
            self._exchange_in(EXCHANGE_S if report.demand else 0)
        elif report.demand:
            self._exchange_in(EXCHANGE_S)  # reports that demand is over


def provider_id(base_url: str, secret: str | None) -> str:
    """One name for a provider's address and a key, from which the key cannot be read: it never leaves the process."""
    return hashlib.sha256(f"{base_url.rstrip('/')}\n{secret or ''}".encode()).hexdigest()


class LimiterRegistry:
    """The limiters of one process. Without `governor` the process has governors of its own.

    `is_live`: the process answers live requests, which the governor serves before those of jobs.
    """

    def __init__(
        self,
        governor: Callable[[str, UsageReport], Awaitable[Lease]] | None = None,
        activity: CallActivity | None = None,
        *,
        is_live: bool = False,
    ) -> None:
        self._is_live = is_live
        self.activity = activity or CallActivity()
        self._governor = governor or _OwnGovernors().report
        self._limiters: dict[str, CallLimiter] = {}

    def limiter(self, base_url: str, secret: str | None, limits: RateLimits) -> CallLimiter:
        """The limiter of this address and key. Limits are joined: the largest concurrency, the smallest rates."""
        provider = provider_id(base_url, secret)
        if provider in self._limiters:
            self._limiters[provider].join(limits)
        else:
            exchange = partial(self._governor, provider)
            self._limiters[provider] = CallLimiter(provider, limits, exchange, self.activity, is_live=self._is_live)
        return self._limiters[provider]


class _OwnGovernors:
    def __init__(self) -> None:
        self._governors: dict[str, RateGovernor] = {}

    async def report(self, provider: str, report: UsageReport) -> Lease:
        return self._governors.setdefault(provider, RateGovernor()).report(report)


def _now() -> float:
    """The event loop's clock in seconds, which its timers use."""
    return asyncio.get_running_loop().time()


def _smaller(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)
