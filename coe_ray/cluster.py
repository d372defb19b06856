"""Ray pieces that serving and jobs share: models and the retriever behind Serve handles, and the rate governors."""

import asyncio
import gc
import hashlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
import ray
import ray.exceptions
from ray import serve
from ray.actor import ActorHandle
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import ApplicationStatus

from coe_ray.calls.faults import Faults
from coe_ray.calls.governor import Governor, Lease, Report
from coe_ray.calls.replies import StreamReader, read_completion
from coe_ray.calls.retry import RetryPolicy, Stopwatch, Timeouts, counted, retried
from coe_ray.calls.secret import Secret
from coe_ray.calls.traffic import Traffic
from coe_ray.coalescing import Coalescing
from coe_ray.config import Profile
from coe_ray.errors import CoeError, ConfigError, ConnectionFault, RateLimited, ServerFault
from coe_ray.model_config import VllmModel
from coe_ray.types import Call, Completion, Delta, Neighbour, Question

log = logging.getLogger("ray.serve")

APPLICATION = "default"
"""Name of the Serve application: the one that `serve run` gives."""

READY_S = 2.0
"""How long `/healthz` waits for a deployment behind it."""

UNLIMITED = 1_000_000
"""Calls at once where Serve's own queues are the limit."""

NAMESPACE = "coe_ray"
GOVERNORS = f"governors-{version('coe_ray')}"
"""The governors' actor: one for the cluster and the release, as releases need not understand each other's reports."""

_UNAVAILABLE = (ray.exceptions.RayActorError, DeploymentUnavailableError, ray.exceptions.RayChannelError)


def collect_garbage_rarely() -> None:
    """For a process that is asked thousands of things at once: none of them is garbage, nor is what was imported.

    Looking through them again and again took 40 % of an examiner's time, and a tenth of an ingress replica's.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


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
        self._faults = Faults(name, Secret(None), Timeouts())

    async def complete(self, call: Call) -> Completion:
        watch = Stopwatch()
        completion, attempts = await retried(self._retry, lambda: self._once(call, watch), self._traffic, watch)
        return replace(completion, attempts=attempts, seconds=watch.seconds)

    async def stream(self, call: Call) -> AsyncGenerator[Delta, None]:
        """The answer as it comes. Asked again only until the first piece of text is there, never after it."""
        watch = Stopwatch()
        (first, rest), attempts = await retried(self._retry, lambda: self._begun(call, watch), self._traffic, watch)
        async with aclosing(rest):
            with counted(attempts):
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
        self._together: Coalescing[tuple[Question, int], tuple[Neighbour, ...]] = Coalescing(self._nearest_all)

    async def nearest(self, question: Question, k: int) -> tuple[Neighbour, ...]:
        return await self._together.ask((question, k)) if k else ()

    async def check(self) -> None:
        """Raises `DataError` where there is no such index, or one of another encoder."""
        await retried(self._retry, lambda: _reply("retriever", self._handle.check, self._folder))

    async def _nearest_all(self, asked: list[tuple[Question, int]]) -> list[tuple[Neighbour, ...]]:
        found: list[tuple[Neighbour, ...]]
        found, _ = await retried(
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


async def answers(handle: DeploymentHandle) -> bool:
    """Whether a replica of the deployment is up and well; false while it starts, and after it broke."""
    try:
        await asyncio.wait_for(handle.check_health.remote(), READY_S)
    except BackPressureError:
        return True  # it has much to do
    except Exception as error:  # whatever the reason, its name is in what /healthz says
        log.info("%s does not answer yet: %s", handle.deployment_name, type(error).__name__)  # its text is a traceback
        return False
    return True


def hosted_model_names(profile: Profile) -> tuple[str, ...]:
    """The models of the profile that are deployments."""
    return tuple(name for name, model in profile.models.items() if isinstance(model, VllmModel))


def stays_up(profile: Profile, model: str) -> bool:
    """Whether at least one replica of a hosted model is always wanted."""
    config = profile.models[model]
    return isinstance(config, VllmModel) and config.scaling.min_replicas > 0


def hosted_models(profile: Profile, traffic: Traffic | None = None) -> dict[str, HostedModel]:
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


def hosted_fingerprint(profile: Profile) -> str:
    """A hash of the configuration of everything that the profile wants hosted."""
    hosted = {name: profile.models[name].model_dump() for name in hosted_model_names(profile)}
    return hashlib.sha256(orjson.dumps(hosted, option=orjson.OPT_SORT_KEYS)).hexdigest()


def is_serving(profile: Profile) -> bool:
    """Whether the running application hosts just what the profile wants hosted.

    Raises `ConfigError` where it hosts something else: a bench must not measure other models, nor stop them.
    """
    application = serve.status().applications.get(APPLICATION)
    if application is None or application.status != ApplicationStatus.RUNNING:
        return False
    if ray.get(_serving_fingerprint.remote()) != hosted_fingerprint(profile):
        raise ConfigError(
            f"this cluster serves other models than profile {profile.name!r} wants; "
            "stop them with `serve shutdown`, or bench on another cluster"
        )
    return True


@ray.remote(num_cpus=0, max_calls=1)  # type: ignore[untyped-decorator]  # ray is not followed
def _serving_fingerprint() -> str:
    """Asked in a process of its own: a Serve handle stays bound to the event loop that first used it."""

    async def ask() -> str:
        fingerprint: str = await serve.get_app_handle(APPLICATION).hosted.remote()
        return fingerprint

    return asyncio.run(ask())


class Governors:
    """The governor of every provider key that the cluster calls. Made as an actor; knows a key only by its hash."""

    def __init__(self) -> None:
        self._governors: dict[str, Governor] = {}

    def report(self, provider: str, report: Report) -> Lease:
        return self._governors.setdefault(provider, Governor()).report(report)


def governed() -> Callable[[str, Report], Awaitable[Lease]]:
    """What `Gates` asks for leases, on any event loop of a process that is connected to the cluster.

    Makes the governors' actor where the cluster has none, now or later. Raises `ConnectionError` from an exchange
    that it does not answer.
    """
    return _RemoteGovernors().report


class _RemoteGovernors:
    def __init__(self) -> None:
        # Now: until its process is up the first calls would have to wait.
        self._actor: Any = _governors()

    async def report(self, provider: str, report: Report) -> Lease:
        try:
            if self._actor is None:
                self._actor = await asyncio.to_thread(_governors)  # may wait for the cluster's control service
            lease: Lease = await self._actor.report.remote(provider, report)
        except ray.exceptions.RayError as error:
            self._actor = None
            raise ConnectionError(
                f"actor {GOVERNORS!r} in namespace {NAMESPACE!r} does not answer ({type(error).__name__}); "
                "it is asked for and made again, `ray list actors` shows its state"
            ) from error
        return lease


def _governors() -> ActorHandle:
    """The actor, made where it is missing. Detached: it outlives the job that happened to come first."""
    options = {"name": GOVERNORS, "namespace": NAMESPACE, "lifetime": "detached", "get_if_exists": True}
    return ray.remote(num_cpus=0, max_restarts=-1)(Governors).options(**options).remote()
