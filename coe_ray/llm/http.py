"""A chat model behind any OpenAI-compatible URL: hosted APIs, vLLM, or another server of this kind.

    call → body → try (retry.py) → slot (limiter, breaker.py) → reply (replies.py) → Completion or Deltas
                   └─ any fault (faults.py) → CallError

Nothing is opened before the first call, so that a model can be built anywhere and sent to a Ray actor.
"""

import asyncio
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeVar

import aiohttp
import orjson

from coe_ray.core.errors import BadCall, CallError, RateLimited
from coe_ray.core.fail_fast import note_life
from coe_ray.core.stages import outgoing_headers
from coe_ray.core.types import Call, Completion, Delta
from coe_ray.llm.breaker import ModelBreaker
from coe_ray.llm.faults import FaultClassifier
from coe_ray.llm.provider_key import ProviderKey
from coe_ray.llm.replies import StreamReader, completion_deltas, read_completion, start_stream
from coe_ray.llm.retry import RetryPolicy, Stopwatch, Timeouts, call_with_retry, count_attempts
from coe_ray.ratelimit.limiter import CallLimiter, LimiterSlot, SaturatedError

MAX_KEPT = 65536
"""Bytes of a reply that are kept for the error that may end it; no more is read of an error's own reply."""

MAX_REPLY = 16 << 20
"""Bytes of the longest answer that is read, whole or as a stream."""

Result = TypeVar("Result")

_NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Pool:
    """Connection pool, bound to one event loop."""

    loop: asyncio.AbstractEventLoop
    session: aiohttp.ClientSession


@dataclass(frozen=True, slots=True)
class _Request:
    """What the tries of one call share: connections, body and stopwatch."""

    session: aiohttp.ClientSession
    body: bytes = field(repr=False)
    timeout: aiohttp.ClientTimeout
    watch: Stopwatch = field(default_factory=Stopwatch)


@dataclass(frozen=True, slots=True)
class _ReplyReader:
    """Reader of one reply. Keeps its beginning, which aiohttp forgets where the reply breaks off."""

    response: aiohttp.ClientResponse
    kept: bytearray = field(repr=False)
    faults: FaultClassifier

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises `MalformedReply` where it is too long."""
        size = 0
        async for piece in self.response.content.iter_any():
            note_life()
            self._keep(piece)
            if (size := size + len(piece)) > MAX_REPLY:
                raise self.faults.malformed_reply(f"the reply is longer than {MAX_REPLY} bytes")
            yield piece

    async def whole(self) -> bytes:
        return b"".join([piece async for piece in self.pieces()])

    async def keep_beginning(self) -> None:
        """Read no more than is kept. The connection is not reused where there is more."""
        async for piece in self.response.content.iter_any():
            self._keep(piece)
            if len(self.kept) >= MAX_KEPT:
                break

    def _keep(self, piece: bytes) -> None:
        self.kept.extend(piece[: MAX_KEPT - len(self.kept)])


class HttpModel:
    """`ChatModel` over HTTP. Raises `CallError` with the tries it took; `call.choices` is not sent on.

    `name` is ours and stands in errors, `model` is the provider's; `base_url` is all before
    `/chat/completions`. Each try waits for a slot of the `limiter` and holds it until its reply is over, so a call
    that waits between tries takes no slot. An open `breaker` lets nothing through (by default it stays open for good).
    `extra_body` is sent with each call and wins over its settings. `parameters` are the model's names of parameters;
    `None` keeps back an expert's own setting.

    Serves one event loop at a time; `close()` it there. It opens again when it is called again.
    """

    def __init__(
        self,
        *,
        name: str,
        model: str,
        base_url: str,
        limiter: CallLimiter,
        api_key: str | None = None,
        retry: RetryPolicy = RetryPolicy(),
        timeouts: Timeouts = Timeouts(),
        breaker: ModelBreaker | None = None,
        extra_body: Mapping[str, object] = _NOTHING,
        parameters: Mapping[str, str | None] = MappingProxyType({}),
    ) -> None:
        self.name = name
        self._model = model
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._key = ProviderKey(api_key)
        self._faults = FaultClassifier(name, self._key, timeouts, retry.total_s)
        self._retry = retry
        self._timeouts = timeouts
        self._limiter = limiter
        self._breaker = breaker or ModelBreaker()
        self._extra_body = dict(extra_body)
        self._parameters = dict(parameters)
        self._pool: _Pool | None = None

    def __repr__(self) -> str:
        return f"HttpModel(name={self.name!r}, model={self._model!r})"  # no URL: a password may stand in it

    async def complete(self, call: Call) -> Completion:
        """The whole answer. `seconds` runs from the first try to the end; waiting for a slot is not in it."""
        request = _Request(self._open_session(), self._body(call), self._timeouts.of_whole)
        completion, attempts = await self._with_retry(request, lambda: self._complete_once(request, call))
        return replace(completion, attempts=attempts, seconds=request.watch.seconds)

    async def stream(self, call: Call) -> AsyncGenerator[Delta, None]:
        """The answer as it comes. Tried again only until the first piece of text is there, never after it."""
        options = (call.request or {}).get("stream_options") or {}
        body = self._body(call, stream=True, stream_options={**options, "include_usage": True})
        request = _Request(self._open_session(), body, self._timeouts.of_stream)
        (first, rest), attempts = await self._with_retry(request, lambda: start_stream(self._deltas(request, call)))
        async with aclosing(rest):
            with count_attempts(attempts):
                for delta in first:
                    yield delta
                async for delta in rest:
                    yield delta

    async def close(self) -> None:
        """Close the connections. Calls still under way fail."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.session.close()

    async def _with_retry(self, request: _Request, once: Callable[[], Awaitable[Result]]) -> tuple[Result, int]:
        return await call_with_retry(self._retry, once, self._limiter.activity, request.watch)

    async def _complete_once(self, request: _Request, call: Call) -> Completion:
        async with self._slot(request) as slot, self._reply(request) as reply:
            completion = read_completion(self._faults, await reply.whole(), call)
            slot.used(completion.usage)
            return completion

    async def _deltas(self, request: _Request, call: Call) -> AsyncGenerator[Delta, None]:
        async with (
            self._slot(request) as slot,
            self._reply(request) as reply,
            aclosing(self._read(reply, call)) as deltas,
        ):
            async for delta in deltas:
                if delta.usage is not None:
                    slot.used(delta.usage)
                yield delta

    async def _read(self, reply: _ReplyReader, call: Call) -> AsyncGenerator[Delta, None]:
        if reply.response.content_type == "application/json":  # an endpoint that does not stream
            for delta in completion_deltas(read_completion(self._faults, await reply.whole(), call)):
                yield delta
            return
        reader = StreamReader(self._faults, call)
        async with aclosing(reply.pieces()) as pieces:
            async for piece in pieces:
                for delta in reader.feed(piece):
                    yield delta
                if reader.done:
                    break
        for delta in reader.finish():
            yield delta

    @asynccontextmanager
    async def _slot(self, request: _Request) -> AsyncIterator[LimiterSlot]:
        """A limiter's slot to send one request. Raises the error that opened the breaker, where it is open."""
        self._breaker.check()  # no waiting for a slot that could not be used
        try:
            async with self._limiter.slot(self.name, self._breaker.check) as slot:
                request.watch.exclude(slot.waited_s)
                with self._breaker.guard():
                    yield slot
        except SaturatedError:
            message = "as many calls as its provider takes are under way"
            raise RateLimited(self.name, message, retry_after=1.0, attempts=0) from None

    @asynccontextmanager
    async def _reply(self, request: _Request) -> AsyncIterator[_ReplyReader]:
        """A reply with status 2xx. Any fault until it is read is raised as a `CallError` that quotes it."""
        kept = bytearray()
        try:
            # A redirected POST would become a GET without a body; the error says that base_url is wrong.
            async with request.session.post(
                self._url,
                data=request.body,
                headers=outgoing_headers(),
                allow_redirects=False,
                timeout=request.timeout,
            ) as response:
                reply = _ReplyReader(response, kept, self._faults)
                await self._check(reply)
                yield reply
        except (aiohttp.ClientError, OSError) as error:
            raise self._faults.attach_body(self._faults.from_exception(error), kept) from None
        except CallError as error:
            self._faults.attach_body(error, kept)
            raise

    async def _check(self, reply: _ReplyReader) -> None:
        response = reply.response
        if 200 <= response.status < 300:
            return
        with suppress(aiohttp.ClientError, OSError):  # the status is enough where the text broke off
            await reply.keep_beginning()
        raise self._faults.from_status(response.status, response.headers, bytes(reply.kept))

    def _body(self, call: Call, **stream: object) -> bytes:
        try:
            return orjson.dumps({**self._named(call), **self._extra_body, **stream})
        except orjson.JSONEncodeError as error:
            raise BadCall(
                self.name, f"the request cannot be written as JSON: {error}", status=400, attempts=0
            ) from None

    def _named(self, call: Call) -> dict[str, object]:
        """The body with parameters as this model names them, without our own settings that it refuses."""
        body: dict[str, object] = call.body(self._model)
        sent = call.request or {}
        for name, new in self._parameters.items():
            if name in body and (new is not None or name not in sent):
                value = body.pop(name)
                if new is not None:
                    body.setdefault(new, value)
        return body

    def _open_session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._pool is None or self._pool.loop is not loop or self._pool.session.closed:
            self._pool = _Pool(loop, self._new_session())
            # A model that a hot change removed is closed when the last of its calls is over.
            weakref.finalize(self, _close, self._pool).atexit = False
        return self._pool.session

    def _new_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # the limiter is the limit
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Content-Type": "application/json", **self._key.headers()},
        )


def _close(pool: _Pool) -> None:
    if not pool.session.closed and pool.loop.is_running():
        asyncio.run_coroutine_threadsafe(pool.session.close(), pool.loop)
