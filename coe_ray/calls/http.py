"""A chat model behind any OpenAI-compatible URL: hosted APIs, vLLM, or another server of this kind.

    call → body → slot → try (retry.py) → reply (replies.py) → Completion or Deltas
                             └─ what goes wrong (faults.py) → CallError

Nothing is opened before the first call, so that a model can be built anywhere and shipped to a Ray actor.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from types import MappingProxyType

import aiohttp
import orjson

from coe_ray.calls.faults import Faults, Secret
from coe_ray.calls.replies import StreamReader, deltas_of, read_completion
from coe_ray.calls.retry import RetryPolicy, Timeouts, counted, retried
from coe_ray.errors import BadCall
from coe_ray.types import Call, Completion, Delta

_NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Pool:
    """What is bound to one event loop: the connections, and a slot for each call at a time."""

    loop: asyncio.AbstractEventLoop
    session: aiohttp.ClientSession
    slots: asyncio.Semaphore


class HttpModel:
    """`ChatModel` over HTTP. Raises `CallError` with the tries it took; `call.choices` is not sent on.

    `name` is ours and stands in errors, `model` is the provider's; `base_url` is all before
    `/chat/completions`. A call holds one of `max_concurrency` slots until it is over, waits between tries
    included, so a provider that asks for patience gets it from all callers. `extra_body` is sent with each
    call and wins over its settings.

    Serves one event loop at a time; `close()` it there. It opens again when it is called again.
    """

    def __init__(
        self,
        *,
        name: str,
        model: str,
        base_url: str,
        api_key: str | None = None,
        retry: RetryPolicy = RetryPolicy(),
        timeouts: Timeouts = Timeouts(),
        max_concurrency: int = 64,
        extra_body: Mapping[str, object] = _NOTHING,
    ) -> None:
        self.name = name
        self._model = model
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._secret = Secret(api_key)
        self._faults = Faults(name, self._secret, timeouts)
        self._retry = retry
        self._timeouts = timeouts
        self._max_concurrency = max_concurrency
        self._extra_body = dict(extra_body)
        self._pool: _Pool | None = None

    def __repr__(self) -> str:
        return self._secret.scrub(f"HttpModel(name={self.name!r}, model={self._model!r}, url={self._url!r})")

    async def complete(self, call: Call) -> Completion:
        """The whole answer. `seconds` runs from the first try to the end; waiting for a slot is not in it."""
        body = self._body(call)
        async with self._slot() as session:
            started = time.monotonic()
            completion, attempts = await retried(self._retry, lambda: self._whole(session, body))
            return replace(completion, attempts=attempts, seconds=time.monotonic() - started)

    async def stream(self, call: Call) -> AsyncGenerator[Delta, None]:
        """The answer as it comes. Tried again only until the first piece of text is there, never after it."""
        body = self._body(call, stream=True, stream_options={"include_usage": True})
        async with self._slot() as session:
            (first, rest), attempts = await retried(self._retry, lambda: self._begun(session, body))
            async with aclosing(rest):
                with counted(attempts):
                    yield first
                    async for delta in rest:
                        yield delta

    async def close(self) -> None:
        """Close the connections. Calls still under way fail."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.session.close()

    async def _whole(self, session: aiohttp.ClientSession, body: bytes) -> Completion:
        async with self._reply(session, body) as response:
            return read_completion(self._faults, await response.read())

    async def _begun(self, session: aiohttp.ClientSession, body: bytes) -> tuple[Delta, AsyncGenerator[Delta, None]]:
        """A stream up to its first delta, and the rest of it."""
        deltas = self._deltas(session, body)
        return await anext(deltas), deltas

    async def _deltas(self, session: aiohttp.ClientSession, body: bytes) -> AsyncGenerator[Delta, None]:
        reader = StreamReader(self._faults)
        async with self._reply(session, body) as response:
            if response.content_type == "application/json":  # an endpoint that does not stream
                for delta in deltas_of(read_completion(self._faults, await response.read())):
                    yield delta
                return
            async for chunk in response.content.iter_any():
                for delta in reader.feed(chunk):
                    yield delta
                if reader.done:
                    break
        for delta in reader.finish():
            yield delta

    @asynccontextmanager
    async def _reply(self, session: aiohttp.ClientSession, body: bytes) -> AsyncIterator[aiohttp.ClientResponse]:
        """A reply with status 2xx; whatever aiohttp raises until it is read comes out as a `CallError`."""
        try:
            # A redirected POST becomes a GET without a body: better to say that base_url is wrong.
            async with session.post(self._url, data=body, allow_redirects=False) as response:
                await self._check(response)
                yield response
        except (aiohttp.ClientError, OSError) as error:
            raise self._faults.of_exception(error) from None

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        if 200 <= response.status < 300:
            return
        body = b""
        with suppress(aiohttp.ClientPayloadError):  # the status says enough where its text broke off
            body = await response.read()
        raise self._faults.of_status(response.status, response.headers, body)

    def _body(self, call: Call, **stream: object) -> bytes:
        messages = [{"role": message.role, "content": message.content} for message in call.messages]
        body = {
            "model": self._model,
            "messages": messages,
            **call.settings.given(),
            **self._extra_body,
            **stream,
        }
        try:
            return orjson.dumps(body)
        except orjson.JSONEncodeError as error:
            raise BadCall(self.name, f"the request cannot be written as JSON: {error}") from None

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[aiohttp.ClientSession]:
        pool = self._opened()
        async with pool.slots:
            yield pool.session

    def _opened(self) -> _Pool:
        loop = asyncio.get_running_loop()
        if self._pool is None or self._pool.loop is not loop or self._pool.session.closed:
            self._pool = _Pool(loop, self._new_session(), asyncio.Semaphore(self._max_concurrency))
        return self._pool

    def _new_session(self) -> aiohttp.ClientSession:
        limits = self._timeouts
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # the slots are the limit
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Content-Type": "application/json", **self._secret.headers()},
            timeout=aiohttp.ClientTimeout(
                total=limits.total_s, connect=limits.connect_s, sock_read=limits.first_byte_s
            ),
        )
