"""Ray pieces that serving and jobs share: models and the retriever behind Serve handles, as the pipeline sees them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import orjson
import ray
import ray.exceptions
from ray import serve
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import ApplicationStatus

from coe_ray.calls.faults import Faults, Secret
from coe_ray.calls.replies import StreamReader, read_completion
from coe_ray.calls.retry import RetryPolicy, Timeouts, retried
from coe_ray.config import Profile, VllmModel
from coe_ray.errors import CallError, ConfigError, ConnectionFault, RateLimited, ServerFault
from coe_ray.types import Call, Completion, Delta, Neighbour, Question

APPLICATION = "default"
"""Name of the Serve application: the one that `serve run` gives."""

_UNAVAILABLE = (ray.exceptions.RayActorError, DeploymentUnavailableError, ray.exceptions.RayChannelError)


def deployment_name(model: str) -> str:
    """The deployment that hosts `model`."""
    return f"model-{model}"


class HostedModel:
    """A vLLM deployment as a `ChatModel`. A replica that dies or is full is asked again, by the one retry policy."""

    def __init__(self, name: str, handle: DeploymentHandle, retry: RetryPolicy = RetryPolicy(attempts=4)) -> None:
        self.name = name
        self._handle = handle
        self._retry = retry
        self._faults = Faults(name, Secret(None), Timeouts())

    async def complete(self, call: Call) -> Completion:
        completion, attempts = await retried(self._retry, lambda: self._once(call))
        return Completion(completion.text, completion.finish_reason, completion.usage, completion.refusal, attempts)

    async def _once(self, call: Call) -> Completion:
        try:
            reply = await self._handle.chat_json.remote(self._body(call))
        except Exception as error:
            raise self._fault(error) from error
        return read_completion(self._faults, reply)

    async def stream(self, call: Call) -> AsyncIterator[Delta]:
        reader = StreamReader(self._faults)
        body = self._body(call) | {"stream": True, "stream_options": {"include_usage": True}}
        try:
            async for chunk in self._handle.options(stream=True).chat_events.remote(body):
                for delta in reader.feed(chunk):
                    yield delta
        except Exception as error:
            raise self._fault(error) from error
        for delta in reader.finish():
            yield delta

    def _body(self, call: Call) -> dict[str, Any]:
        messages = [{"role": message.role, "content": message.content} for message in call.messages]
        body = {"model": self.name, "messages": messages, **call.settings.given()}
        return body | {"structured_outputs": {"choice": list(call.choices)}} if call.choices else body

    def _fault(self, error: Exception) -> Exception:
        """The call error behind an exception of Ray; errors of the tree and of the program pass unchanged."""
        if isinstance(error, CallError):
            return error
        if isinstance(error, BackPressureError):
            return RateLimited(self.name, f"its queue is full: {error}", retry_after=1.0)
        if isinstance(error, _UNAVAILABLE):
            return ConnectionFault(self.name, f"no replica could be reached: {type(error).__name__}")
        if isinstance(error, ray.exceptions.RayTaskError):
            return ServerFault(self.name, f"the engine failed: {error.cause!r}"[:300])
        return error


class HostedRetriever:
    """The retriever deployment as a `Retriever`."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle

    async def nearest(self, question: Question, k: int) -> tuple[Neighbour, ...]:
        if k == 0:
            return ()
        found: tuple[Neighbour, ...] = await self._handle.nearest.remote(question, k)
        return found


def hosted_model_names(profile: Profile) -> tuple[str, ...]:
    """The models of the profile that are deployments."""
    return tuple(name for name, model in profile.models.items() if isinstance(model, VllmModel))


def hosted_models(profile: Profile) -> dict[str, HostedModel]:
    """Handles to the profile's deployments in the running application."""
    return {
        name: HostedModel(name, serve.get_deployment_handle(deployment_name(name), APPLICATION))
        for name in hosted_model_names(profile)
    }


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


@ray.remote(num_cpus=0)
def _serving_fingerprint() -> str:
    """Asked in a process of its own: a Serve handle stays bound to the event loop that first used it."""

    async def ask() -> str:
        fingerprint: str = await serve.get_app_handle(APPLICATION).hosted.remote()
        return fingerprint

    return asyncio.run(ask())
