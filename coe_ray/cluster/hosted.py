"""Hosted models and the retriever behind Serve handles, as the pipeline wants them: `ChatModel` and `Retriever`."""

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
from coe_ray.core.coalescing import Coalescer
from coe_ray.core.errors import CoeError, ConnectionFault, RateLimited, ServerFault
from coe_ray.core.traffic import Traffic
from coe_ray.core.types import Call, Completion, Delta, Neighbour, Question
from coe_ray.llm.faults import FaultClassifier
from coe_ray.llm.replies import StreamReader, read_completion
from coe_ray.llm.retry import RetryPolicy, Stopwatch, Timeouts, call_with_retry, count_attempts
from coe_ray.llm.secret import Secret
from coe_ray.profile.models import VllmModel
from coe_ray.profile.profile import Profile

UNLIMITED = 1_000_000
"""Calls at once where Serve's own queues are the limit."""

_UNAVAILABLE = (ray.exceptions.RayActorError, DeploymentUnavailableError, ray.exceptions.RayChannelError)


def deployment_name(model: str) -> str:
    """The deployment that hosts `model`."""
    return f"model-{model}"


class HostedModel:
    """A vLLM deployment as a `ChatModel`. A replica that dies or is full is asked again, by the one retry policy."""

    def __init__(
        self,
        name: str,
        handle: DeploymentHandle,
        retry: RetryPolicy = RetryPolicy(attempts=4),
        traffic: Traffic | None = None,
        at_once: int = UNLIMITED,
    ) -> None:
        self.name = name
        self._handle = handle
        self._retry = retry
        self._traffic = traffic or Traffic()
        self._slots = asyncio.Semaphore(at_once)
        self._faults = FaultClassifier(name, Secret(None), Timeouts())

    async def complete(self, call: Call) -> Completion:
        watch = Stopwatch()
        completion, attempts = await call_with_retry(self._retry, lambda: self._once(call, watch), self._traffic, watch)
        return replace(completion, attempts=attempts, seconds=watch.seconds)

    async def stream(self, call: Call) -> AsyncGenerator[Delta, None]:
        """The answer as it comes. Asked again only until the first piece of text is there, never after it."""
        watch = Stopwatch()
        (first, rest), attempts = await call_with_retry(
            self._retry, lambda: self._begun(call, watch), self._traffic, watch
        )
        async with aclosing(rest):
            with count_attempts(attempts):
                yield first
                async for delta in rest:
                    yield delta

    async def _once(self, call: Call, watch: Stopwatch) -> Completion:
        async with self._turn(watch):
            reply = await _reply(self.name, self._handle.chat_json, self._body(call))
        return read_completion(self._faults, reply)

    async def _begun(self, call: Call, watch: Stopwatch) -> tuple[Delta, AsyncGenerator[Delta, None]]:
        """A stream up to its first delta, and the rest of it."""
        deltas = self._deltas(call, watch)
        return await anext(deltas), deltas

    async def _deltas(self, call: Call, watch: Stopwatch) -> AsyncGenerator[Delta, None]:
        reader = StreamReader(self._faults)
        async with aclosing(self._chunks(call, watch)) as chunks:
            async for chunk in chunks:
                for delta in reader.feed(chunk):
                    yield delta
        for delta in reader.finish():
            yield delta

    @asynccontextmanager
    async def _turn(self, watch: Stopwatch) -> AsyncGenerator[None, None]:
        """In flight, as soon as there is a place: what stands in a handle's queue is with nobody yet."""
        began = watch.seconds
        with self._traffic.wait():
            await self._slots.acquire()
        watch.leave_out(watch.seconds - began)
        try:
            with self._traffic.flight():
                yield
        finally:
            self._slots.release()

    async def _chunks(self, call: Call, watch: Stopwatch) -> AsyncGenerator[bytes, None]:
        body = self._body(call) | {"stream": True, "stream_options": {"include_usage": True}}
        async with self._turn(watch):
            response = self._handle.options(stream=True).chat_events.remote(body)
            try:
                async for chunk in response:
                    yield chunk
            except Exception as error:
                raise _fault(self.name, error) from error
            finally:
                response.cancel()  # nothing to do where it is over; else nobody reads on

    def _body(self, call: Call) -> dict[str, Any]:
        messages = [{"role": message.role, "content": message.content} for message in call.messages]
        body = {"model": self.name, "messages": messages, **call.settings.given()}
        return body | {"structured_outputs": {"choice": list(call.choices)}} if call.choices else body


class HostedRetriever:
    """The retriever deployment as a `Retriever` over the index in `folder`; asked again as a `HostedModel` is.

    Questions of the same moment travel together.
    """

    def __init__(self, handle: DeploymentHandle, folder: Path, retry: RetryPolicy = RetryPolicy(attempts=4)) -> None:
        self._handle = handle
        self._folder = str(folder)
        self._retry = retry
        self._together: Coalescer[tuple[Question, int], tuple[Neighbour, ...]] = Coalescer(self._nearest_all)

    async def nearest(self, question: Question, k: int) -> tuple[Neighbour, ...]:
        return await self._together.ask((question, k)) if k else ()

    async def check(self) -> None:
        """Raises `DataError` where there is no such index, or one of another encoder."""
        await call_with_retry(self._retry, lambda: _reply("retriever", self._handle.check, self._folder))

    async def _nearest_all(self, asked: list[tuple[Question, int]]) -> list[tuple[Neighbour, ...]]:
        found: list[tuple[Neighbour, ...]]
        found, _ = await call_with_retry(
            self._retry, lambda: _reply("retriever", self._handle.nearest_all, asked, self._folder)
        )
        return found


async def _reply(name: str, method: Any, *arguments: object) -> Any:
    """What a handle's method returns. Serve does not stop the work of a caller who stopped waiting: this does."""
    response = method.remote(*arguments)
    try:
        return await response
    except asyncio.CancelledError:
        response.cancel()
        raise
    except Exception as error:
        raise _fault(name, error) from error


def _fault(name: str, error: Exception) -> CoeError:
    """The error behind what a handle raised: Ray's own errors, or the replica's (bare where Serve uses gRPC)."""
    cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
    if isinstance(cause, CoeError):
        return cause
    if isinstance(cause, BackPressureError):
        return RateLimited(name, f"its queue is full: {cause}", retry_after=cause.retry_after_s or 1.0)
    if isinstance(cause, _UNAVAILABLE):
        return ConnectionFault(name, f"no replica could be reached: {type(cause).__name__}")
    return ServerFault(name, f"the engine failed: {cause!r}"[:300])


def make_hosted_models(profile: Profile, traffic: Traffic | None = None) -> dict[str, HostedModel]:
    """Handles to the profile's deployments in the running application; their requests are counted in `traffic`.

    At once go as many as all replicas together take.
    """
    hosted = {}
    for name, model in profile.models.items():
        if isinstance(model, VllmModel):
            handle = serve.get_deployment_handle(deployment_name(name), APPLICATION)
            at_once = model.scaling.max_replicas * model.scaling.max_ongoing_requests
            hosted[name] = HostedModel(name, handle, traffic=traffic, at_once=at_once)
    return hosted
