"""One client of the endpoint: its limits, and how much of them it uses in this process."""

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass

from coe_ray.ratelimit.token_bucket import TokenBucket
from coe_ray.serve.api.openai import RequestError

BUSY_S = 1
"""Retry-After of a client with too many requests at once: when one of them ends is not known."""


@dataclass(eq=False)
class AccessDenied(RequestError):
    """A request that is not let in. `client`: the key's name, where the key is known. The key itself is in no text."""

    client: str | None = None


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Limits of a client, on all replicas together."""

    requests_per_minute: int
    concurrency: int


class Client:
    """A key, or everybody where no keys are asked for.

    It outlives a change of its limits: requests under way stay counted. Each replica enforces its share of the limits,
    rounded in the client's favour, so that no request waits for another process.
    """

    __slots__ = ("_bucket", "limits", "name", "under_way")

    def __init__(self, name: str, limits: ClientLimits) -> None:
        self.name = name
        self.limits = limits
        self.under_way = 0
        self._bucket = TokenBucket()

    def admit(self, replicas: int, now: float) -> "Admission":
        """Let one request in, at `now` seconds. Raises `AccessDenied` (429)."""
        burst = max(self.limits.requests_per_minute / replicas, 1.0)  # in a minute, or at once after a quiet one
        if self.under_way >= max(math.ceil(self.limits.concurrency / replicas), 1):
            message = f"{self.limits.concurrency} requests at once are the most for this key; wait for one to end"
            raise self._denied(message, "concurrency_limit_exceeded", BUSY_S, burst, replicas, now)
        if (wait_s := self._bucket.wait_s(now, burst / 60, burst)) > 1e-6:
            message = f"{self.limits.requests_per_minute} requests per minute are the most for this key"
            raise self._denied(message, "rate_limit_exceeded", math.ceil(wait_s - 1e-6), burst, replicas, now)
        self._bucket.take()
        self.under_way += 1
        return Admission(self, self._headers(burst, replicas, now))

    def _denied(self, message: str, code: str, wait_s: int, burst: float, replicas: int, now: float) -> AccessDenied:
        headers = {"Retry-After": str(wait_s), **self._headers(burst, replicas, now)}
        return AccessDenied(429, f"{message}; try again in {wait_s} s", code=code, headers=headers, client=self.name)

    def _headers(self, burst: float, replicas: int, now: float) -> dict[str, str]:
        """OpenAI's rate limit headers. The remainder is this replica's estimate for all of them."""
        limit, level = self.limits.requests_per_minute, self._bucket.level(now, burst / 60, burst)
        return {
            "x-ratelimit-limit-requests": str(limit),
            "x-ratelimit-remaining-requests": str(min(max(math.floor(level + 1e-9), 0) * replicas, limit)),
            "x-ratelimit-reset-requests": format_duration((burst - level) * 60 / burst),
        }


class Admission(AbstractContextManager["Admission"]):
    """A request that was let in. It counts as under way until the context ends, or until the first `release`."""

    def __init__(self, client: Client, headers: dict[str, str]) -> None:
        """`headers` go into the response."""
        self.name = client.name
        self.headers = headers
        self._client: Client | None = client

    def release(self) -> None:
        if self._client is not None:
            self._client.under_way -= 1
            self._client = None

    def __exit__(self, *_: object) -> None:
        self.release()


def format_duration(seconds: float) -> str:
    """As OpenAI writes it: 12ms, 1.5s, 6m0s."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds * 10) / 10, 60)
    return f"{minutes:.0f}m{rest:g}s" if minutes else f"{rest:g}s"
