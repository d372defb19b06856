"""Registry of a process's call limiters: one for each provider key, shared by the models that use it."""

import hashlib
from collections.abc import Awaitable, Callable
from functools import partial

from coe_ray.core.call_activity import CallActivity
from coe_ray.ratelimit.governor import Lease, RateGovernor, RateLimits, UsageReport
from coe_ray.ratelimit.limiter import CallLimiter


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

    def limiter(self, base_url: str, secret: str | None, limits: RateLimits) -> "CallLimiter":
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
