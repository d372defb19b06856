"""Who may ask, and how much: a client's key out of its headers, compared with all keys, and its limits.

Each replica enforces its share of a client's limits, so that no request waits for another process. A wrong key costs
what a right one costs and is not counted against anyone: keys of 256 bits cannot be guessed, and counting by address
would lock out everybody behind the same proxy.
"""

import asyncio
import hmac
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from starlette.datastructures import Headers

from coe_ray.core.api_keys import ApiKey, hash_key
from coe_ray.profile.profile import AccessConfig
from coe_ray.serve.api.openai import RequestError
from coe_ray.serve.auth.key_store import KeyStore
from coe_ray.serve.auth.token_bucket import Allowance, Limits, Share

log = logging.getLogger("ray.serve")

ANONYMOUS = "anonymous"
"""Everybody, where no key is asked for."""

LONGEST_KEY = 256
"""Characters. What is longer is no key and is not even hashed."""

BUSY_S = 1
"""What a client that has too many requests under way is told to wait: nobody knows when one of them ends."""

_TOLD_EVERY_S = 60.0


class AccessDenied(RequestError):
    """A request that is not let in; `client` is whose key it was, if anybody's. The key is in none of its texts."""

    def __init__(
        self, status: int, message: str, *, code: str, headers: dict[str, str], client: str | None = None
    ) -> None:
        super().__init__(status, message, code=code, headers=headers)
        self.client = client


class Admission:
    """A request that was let in. Its place is free again when the context ends, or with the first `release`."""

    __slots__ = ("_allowance", "_held", "client", "headers")

    def __init__(self, client: str, allowance: Allowance, headers: dict[str, str]) -> None:
        self.client = client
        self.headers = headers
        self._allowance = allowance
        self._held = True

    def release(self) -> None:
        if self._held:
            self._held = False
            self._allowance.release()

    def __enter__(self) -> "Admission":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Client:
    """A key, or everybody. It outlives a change of its limits: what is under way stays counted."""

    __slots__ = ("allowance", "limits", "name")

    def __init__(self, name: str, limits: Limits) -> None:
        self.name = name
        self.limits = limits
        self.allowance = Allowance()

    def admit(self, replicas: int, now: float) -> Admission:
        """Raises `AccessDenied` (429)."""
        share = self.limits.share(replicas)
        if self.allowance.under_way >= share.concurrency:
            message = f"{self.limits.concurrency} requests at once are the most for this key; wait for one to end"
            raise self._refused(message, "concurrency_limit_exceeded", BUSY_S, share, replicas, now)
        if wait := self.allowance.wait_s(share, now):
            message = f"{self.limits.requests_per_minute} requests per minute are the most for this key"
            raise self._refused(message, "rate_limit_exceeded", math.ceil(wait), share, replicas, now)
        self.allowance.start(share, now)
        return Admission(self.name, self.allowance, self._headers(share, replicas, now))

    def _refused(self, message: str, code: str, wait: int, share: Share, replicas: int, now: float) -> AccessDenied:
        headers = {"Retry-After": str(wait), **self._headers(share, replicas, now)}
        text = f"{message}; try again in {wait} s"
        return AccessDenied(429, text, code=code, headers=headers, client=self.name)

    def _headers(self, share: Share, replicas: int, now: float) -> dict[str, str]:
        """As OpenAI names them. What is left is this replica's guess at all of them."""
        limit = self.limits.requests_per_minute
        return {
            "x-ratelimit-limit-requests": str(limit),
            "x-ratelimit-remaining-requests": str(min(self.allowance.left(share, now) * replicas, limit)),
            "x-ratelimit-reset-requests": duration(self.allowance.full_in_s(now)),
        }


class Authenticator:
    """The gate of one replica. `replicas` says how many there are; it is called for each request."""

    def __init__(
        self,
        config: AccessConfig,
        keys: Path | None,
        replicas: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._replicas = replicas
        self._clock = clock
        self._clients: dict[bytes, Client] = {}
        self._anonymous = Client(ANONYMOUS, _limits(config))
        self._file = None if keys is None else KeyStore(keys, clock)
        self._refused = 0
        self._told_at = -math.inf
        self._config = config
        self._take()

    async def configure(self, config: AccessConfig, keys: Path | None) -> None:
        """Take other limits or another file, also while requests are under way. `keys` is `None`: ask for no key.

        Raises `DataError` where another file cannot be read; all is as before then.
        """
        if keys is None or self._file is None or self._file.path != keys:
            self._file = None if keys is None else await asyncio.to_thread(KeyStore, keys, self._clock)
        self._config = config
        self._anonymous.limits = _limits(config)
        self._take()

    async def settled(self) -> None:
        """Until the keys are those of the last seconds; to be waited for before anybody is let in."""
        if self._file is not None:
            await self._file.settled(self._clock())

    def admit(self, headers: Headers) -> Admission:
        """To be left when the answer is out, its stream included. Raises `AccessDenied`: 401 or 429."""
        now = self._clock()
        return self._client(headers, now).admit(max(self._replicas(), 1), now)

    def _client(self, headers: Headers, now: float) -> Client:
        if self._file is None:
            return self._anonymous
        if self._file.is_news(now):
            self._take()
        given = headers.getlist("authorization")
        key = bearer(given[0]) if len(given) == 1 else None
        if key is None:
            raise self._unknown("no API key was given; send one header: Authorization: Bearer KEY", now)
        if (client := self._matching(hash_key(key))) is None:
            raise self._unknown("this API key is not known here; ask who runs this endpoint for one", now)
        return client

    def _matching(self, digest: bytes) -> Client | None:
        """Compared with every key, also after one was found: the time tells nothing about where, or how nearly."""
        found = None
        for own, client in self._clients.items():
            if hmac.compare_digest(own, digest):
                found = client
        return found

    def _take(self) -> None:
        """The file's keys; those that were there before keep their count."""
        clients = {}
        for key in self._file.keys if self._file else ():
            limits = _limits(self._config, key)
            client = self._clients.get(key.digest) or Client(key.name, limits)
            client.name, client.limits = key.name, limits
            clients[key.digest] = client
        self._clients = clients

    def _unknown(self, message: str, now: float) -> AccessDenied:
        self._refused += 1
        if now - self._told_at >= _TOLD_EVERY_S:
            log.warning("requests without a known API key: %d", self._refused)
            self._refused, self._told_at = 0, now
        return AccessDenied(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})


def _limits(config: AccessConfig, key: ApiKey | None = None) -> Limits:
    own = (key.requests_per_minute, key.concurrency) if key else (None, None)
    return Limits(own[0] or config.requests_per_minute, own[1] or config.concurrency)


def bearer(value: str) -> str | None:
    """The key in an Authorization header; `None` where there is none (RFC 9110: the scheme in any case)."""
    scheme, _, key = value.strip(" \t").partition(" ")
    key = key.strip(" \t")
    return key if scheme.lower() == "bearer" and 0 < len(key) <= LONGEST_KEY else None


def duration(seconds: float) -> str:
    """As OpenAI writes it: 12ms, 1.5s, 6m0s."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds * 10) / 10, 60)
    return f"{minutes:.0f}m{rest:g}s" if minutes else f"{rest:g}s"
