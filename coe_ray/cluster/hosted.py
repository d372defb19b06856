"""Clients of hosted models and of the retriever: a `ChatModel` and a `Retriever` over Serve handles."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
import ray.exceptions
from ray import serve
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from coe_ray.cluster.health import APPLICATION
from coe_ray.core.abilities import ALL_ABILITIES, Ability
from coe_ray.core.call_activity import CallActivity
from coe_ray.core.coalescing import Coalescer
from coe_ray.core.errors import CoeError, ConnectionFault, RateLimited, ServerFault
from coe_ray.core.fail_fast import note_life
from coe_ray.core.types import Call, Completion, Delta, Neighbour, Question
from coe_ray.llm.faults import FaultClassifier
from coe_ray.llm.provider_key import ProviderKey
from coe_ray.llm.replies import StreamReader, read_completion, start_stream
from coe_ray.llm.retry import RetryPolicy, Stopwatch, Timeouts, call_with_retry, count_attempts
from coe_ray.profile.models import VllmModel
from coe_ray.profile.profile import Profile
from coe_ray.retrieval.encoder import Embeddings

UNLIMITED = 1_000_000
"""Concurrent calls where Serve's own queues are the limit."""

_UNAVAILABLE = (ray.exceptions.RayActorError, DeploymentUnavailableError, ray.exceptions.RayChannelError)


def deployment_name(model: str) -> str:
    """Name of the deployment that hosts `model`."""
    return f"model-{model}"


class HostedModel:
    """`ChatModel` over a vLLM deployment. Calls to a replica that dies or is full are retried."""

    def __init__(
        self,
        name: str,
        handle: DeploymentHandle,
        retry: RetryPolicy = RetryPolicy(attempts=4),
        activity: CallActivity | None = None,
        max_concurrency: int = UNLIMITED,
        reads: frozenset[Ability] = ALL_ABILITIES,
    ) -> None:
        self.name = name
        self.reads = reads
        self._handle = handle
        self._retry = retry
        self._activity = activity or CallActivity()
        self._slots = asyncio.Semaphore(max_concurrency)
        self._faults = FaultClassifier(name, ProviderKey(None), Timeouts())

    async def complete(self, call: Call) -> Completion:
        watch = Stopwatch()
        completion, attempts = await call_with_retry(
            self._retry, lambda: self._complete_once(call, watch), self._activity, watch
        )
        return replace(completion, attempts=attempts, seconds=watch.seconds)

    async def stream(self, call: Call) -> AsyncGenerator[Delta, None]:
        """The answer in pieces. Retried only until the first of them is there, never after it."""
        watch = Stopwatch()
        (first, rest), attempts = await call_with_retry(
            self._retry, lambda: start_stream(self._deltas(call, watch)), self._activity, watch
        )
        async with aclosing(rest):
            with count_attempts(attempts):
                for delta in first:
                    yield delta
                async for delta in rest:
                    yield delta

    async def _complete_once(self, call: Call, watch: Stopwatch) -> Completion:
        async with self._in_flight(watch):
            reply = await _reply(self.name, self._handle.chat_json, self._body(call))
        return read_completion(self._faults, reply, call)

    async def _deltas(self, call: Call, watch: Stopwatch) -> AsyncGenerator[Delta, None]:
        reader = StreamReader(self._faults, call)
        async with aclosing(self._chunks(call, watch)) as chunks:
            async for chunk in chunks:
                for delta in reader.feed(chunk):
                    yield delta
        for delta in reader.finish():
            yield delta

    @asynccontextmanager
    async def _in_flight(self, watch: Stopwatch) -> AsyncGenerator[None, None]:
        """A slot of the deployment. Waiting for one is not part of the call: Serve has not taken it yet."""
        started = watch.seconds
        with self._activity.count_waiting():
            await self._slots.acquire()
        watch.exclude(watch.seconds - started)
        try:
            with self._activity.count_in_flight():
                yield
        finally:
            self._slots.release()

    async def _chunks(self, call: Call, watch: Stopwatch) -> AsyncGenerator[bytes, None]:
        body = self._body(call) | {"stream": True, "stream_options": {"include_usage": True}}
        async with self._in_flight(watch):
            response = self._handle.options(stream=True).chat_events.remote(body)
            try:
                async for chunk in response:
                    note_life()
                    yield chunk
            except Exception as error:
                raise _fault(self.name, error) from error
            finally:
                response.cancel()  # without effect where it is over

    def _body(self, call: Call) -> dict[str, Any]:
        body = call.body(self.name)
        return body | {"structured_outputs": {"choice": list(call.choices)}} if call.choices else body


class HostedRetriever:
    """`Retriever` over the retriever deployment and the index in `folder`; retried as a `HostedModel` is.

    Concurrent questions are sent in one request.
    """

    def __init__(self, handle: DeploymentHandle, folder: Path, retry: RetryPolicy = RetryPolicy(attempts=4)) -> None:
        self._handle = handle
        self._folder = str(folder)
        self._retry = retry
        self._coalescer: Coalescer[tuple[Question, int], tuple[Neighbour, ...]] = Coalescer(self._nearest_all)

    async def nearest(self, question: Question, k: int) -> tuple[Neighbour, ...]:
        return await self._coalescer.submit((question, k)) if k else ()

    async def embed(self, texts: list[str]) -> Embeddings:
        """The vectors of `texts` by the retriever's encoder. Raises `CallError`."""
        embeddings: Embeddings
        embeddings, _ = await call_with_retry(self._retry, lambda: _reply("retriever", self._handle.embed, texts))
        return embeddings

    async def check(self) -> None:
        """Raises `DataError` where there is no such index, or one of another encoder."""
        await call_with_retry(self._retry, lambda: _reply("retriever", self._handle.check, self._folder))

    async def _nearest_all(self, queries: list[tuple[Question, int]]) -> list[tuple[Neighbour, ...]]:
        results: list[tuple[Neighbour, ...]]
        results, _ = await call_with_retry(
            self._retry, lambda: _reply("retriever", self._handle.nearest_all, queries, self._folder)
        )
        return results


async def _reply(name: str, method: Any, *arguments: object) -> Any:
    """Call a handle's method and stop its work where the caller stops waiting, which Serve does not do."""
    response = method.remote(*arguments)
    try:
        return await response
    except asyncio.CancelledError:
        response.cancel()
        raise
    except Exception as error:
        raise _fault(name, error) from error


def _fault(name: str, error: Exception) -> CoeError:
    """The `CallError` for what a handle raised: Ray's own error, or the replica's (unwrapped where Serve uses gRPC)."""
    cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
    if isinstance(cause, CoeError):
        return cause
    if isinstance(cause, BackPressureError):
        return RateLimited(name, f"its queue is full: {cause}", retry_after=cause.retry_after_s or 1.0)
    if isinstance(cause, _UNAVAILABLE):
        return ConnectionFault(name, f"no replica could be reached: {type(cause).__name__}")
    return ServerFault(name, f"the engine failed: {cause!r}"[:300])


def make_hosted_models(
    profile: Profile, activity: CallActivity | None = None, application: str = APPLICATION
) -> dict[str, HostedModel]:
    """Clients of the profile's hosted models in a running application; their requests are counted in `activity`.

    Each sends as many concurrent calls as all of its replicas together take.
    """
    hosted = {}
    for name, model in profile.models.items():
        if isinstance(model, VllmModel):
            handle = serve.get_deployment_handle(deployment_name(name), application)
            concurrency = model.scaling.max_replicas * model.scaling.max_ongoing_requests
            hosted[name] = HostedModel(
                name, handle, activity=activity, max_concurrency=concurrency, reads=hosted_abilities(profile, name)
            )
    return hosted


def hosted_abilities(profile: Profile, name: str) -> frozenset[Ability]:
    """What a hosted model reads: tools where its engine parses calls, images where the engine is told how many."""
    model = profile.models[name]
    if not isinstance(model, VllmModel):
        return ALL_ABILITIES
    missing: set[Ability] = set()
    if not model.engine.get("tool_call_parser"):
        missing.add("tools")
    if not model.engine.get("limit_mm_per_prompt"):
        missing.add("images")
    return ALL_ABILITIES - missing
