"""Authenticator of one replica: reads a client's key out of the headers, compares it with all keys, applies its limits.

A wrong key costs what a right one costs and is counted against nobody: keys of 256 bits cannot be guessed, and counting
by address would lock out everybody behind the same proxy.
"""

import asyncio
import hmac
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path

from starlette.datastructures import Headers

from coe_ray.core.api_keys import ApiKey, hash_key
from coe_ray.profile.profile import AccessConfig
from coe_ray.serve.auth.client import AccessDenied, Admission, Client, ClientLimits
from coe_ray.serve.auth.key_store import KeyStore

log = logging.getLogger("ray.serve")

ANONYMOUS = "anonymous"
"""Name of the only client where no keys are asked for."""

LONGEST_KEY = 256
"""Characters. Anything longer is no key and is not even hashed."""

_WARN_EVERY_S = 60.0


class Authenticator:
    """Lets requests in, or denies them. Not thread-safe: one event loop calls it."""

    def __init__(
        self,
        config: AccessConfig,
        keys_file: Path | None,
        replicas: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Reads the file now; raises `DataError`. `replicas` gives their number, for each request."""
        self._config = config
        self._replicas = replicas
        self._clock = clock
        self._store = None if keys_file is None else KeyStore(keys_file, clock)
        self._anonymous = Client(ANONYMOUS, _limits(config))
        self._clients: dict[bytes, Client] = {}
        self._unknown = 0
        self._warned_at = -math.inf
        self._take_keys()

    async def configure(self, config: AccessConfig, keys_file: Path | None) -> None:
        """Take other limits or another file (`None`: ask for no keys), also while requests are under way.

        Raises `DataError` where another file cannot be read; nothing has changed then.
        """
        store = self._store
        if keys_file is None:
            store = None
        elif store is None or store.path != keys_file:
            store = await asyncio.to_thread(KeyStore, keys_file, self._clock)
        self._store, self._config = store, config
        self._anonymous.limits = _limits(config)
        self._take_keys()

    async def refresh(self) -> None:
        """Wait until the keys are recent. To be awaited before `admit`."""
        if self._store is not None:
            await self._store.refresh(self._clock())

    def admit(self, headers: Headers) -> Admission:
        """To be released when the answer is out, a stream's last byte included. Raises `AccessDenied`: 401 or 429."""
        now = self._clock()
        return self._client(headers, now).admit(max(self._replicas(), 1), now)

    def _client(self, headers: Headers, now: float) -> Client:
        if self._store is None:
            return self._anonymous
        if self._store.poll(now):
            self._take_keys()
        values = headers.getlist("authorization")
        key = read_bearer(values[0]) if len(values) == 1 else None
        if key is None:
            raise self._denied("no API key was given; send one header: Authorization: Bearer KEY", now)
        if (client := self._find(hash_key(key))) is None:
            raise self._denied("this API key is not known here; ask who runs this endpoint for one", now)
        return client

    def _find(self, digest: bytes) -> Client | None:
        """Compares with every key, also after a match: the time tells nothing about where it is, or how near."""
        match = None
        for own, client in self._clients.items():
            if hmac.compare_digest(own, digest):
                match = client
        return match

    def _take_keys(self) -> None:
        """Take the keys of the store; clients that were there before keep their count."""
        clients = {}
        for key in self._store.keys if self._store else ():
            limits = _limits(self._config, key)
            client = self._clients.get(key.digest) or Client(key.name, limits)
            client.name, client.limits = key.name, limits
            clients[key.digest] = client
        self._clients = clients

    def _denied(self, message: str, now: float) -> AccessDenied:
        self._unknown += 1
        if now - self._warned_at >= _WARN_EVERY_S:
            log.warning("requests without a known API key: %d", self._unknown)
            self._unknown, self._warned_at = 0, now
        return AccessDenied(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})


def _limits(config: AccessConfig, key: ApiKey | None = None) -> ClientLimits:
    own = (key.requests_per_minute, key.concurrency) if key else (None, None)
    return ClientLimits(own[0] or config.requests_per_minute, own[1] or config.concurrency)


def read_bearer(value: str) -> str | None:
    """The key in an Authorization header; `None` where there is none (RFC 9110: the scheme in any case)."""
    scheme, _, key = value.strip(" \t").partition(" ")
    key = key.strip(" \t")
    return key if scheme.lower() == "bearer" and 0 < len(key) <= LONGEST_KEY else None
