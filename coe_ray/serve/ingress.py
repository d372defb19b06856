"""The ingress deployment: the application of `serve/api` on Ray Serve, with hosted models behind their handles."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.applications import Starlette

from coe_ray.cluster.governors import NAMESPACE, connect_governors
from coe_ray.cluster.health import hosted_fingerprint, is_always_up, tune_garbage_collector
from coe_ray.cluster.hosted import HostedModel, HostedRetriever, hosted_abilities
from coe_ray.cluster.ray_internals import ClusterStore, serve_host
from coe_ray.core.chat_model import ChatModel
from coe_ray.llm.factory import make_local_models
from coe_ray.profile.profile import Profile
from coe_ray.ratelimit.limiter import LimiterRegistry
from coe_ray.serve.api.application import create_app
from coe_ray.serve.auth.authenticator import Authenticator
from coe_ray.serve.auth.header_filter import environment_warnings
from coe_ray.serve.auth.loopback import require_keys_or_loopback
from coe_ray.serve.auth.middleware import MOST_UNDER_WAY
from coe_ray.serve.hosting.readiness import RETRIEVER_NAME, DependencyHealth
from coe_ray.serve.hosting.replicas import ReplicaCount
from coe_ray.serve.snapshot.manager import SnapshotManager
from coe_ray.serve.snapshot.snapshot import SnapshotBuilder, snapshot_version
from coe_ray.serve.telemetry.metrics import Metrics
from coe_ray.serve.telemetry.request_log import ReplicaLogHandler, RequestLog
from coe_ray.serve.telemetry.tracing import set_up_tracing

BREAKER_S = 30.0
"""Seconds that a model with a bad key or a used-up quota is left alone before one request tries it again."""


@serve.deployment(
    name="ingress",
    user_config={},
    # Never reached but by health probes and page loads: the application refuses first, by an error object.
    max_ongoing_requests=2 * MOST_UNDER_WAY,
    max_queued_requests=256,
    backpressure_config={"status_code": 503, "retry_after_s": 1.0},
    health_check_period_s=2.0,  # by default a dead replica is noticed, and another one started, up to 10 s late
    ray_actor_options={"num_cpus": 0.5},
)
@serve.ingress()
class Ingress:
    """One replica of the endpoint. API models are called from this process, hosted ones through their handles."""

    def __init__(
        self, profile: Profile, retriever: DeploymentHandle, hosted: dict[str, DeploymentHandle], warnings: list[str]
    ) -> None:
        self._host = serve_host()
        require_keys_or_loopback(profile.access, self._host)
        self._profile = profile
        context = serve.get_replica_context()
        self._warnings = [*environment_warnings(), *warnings]
        self._replicas = ReplicaCount(context.app_name, context.deployment)
        self._authenticator = Authenticator(profile.access, profile.keys_file, lambda: self._replicas.now)
        builder = SnapshotBuilder(
            profile,
            make_models=_api_models,
            hosted={
                name: HostedModel(name, handle, reads=hosted_abilities(profile, name))
                for name, handle in hosted.items()
            },
            make_retriever=partial(HostedRetriever, retriever),
        )
        self._snapshots = SnapshotManager(builder, ClusterStore(NAMESPACE), self._configure_access)
        # A model that may scale to zero is started by its first request, not by a probe.
        always_up = {name: handle for name, handle in hosted.items() if is_always_up(profile, name)}
        self._health = DependencyHealth({RETRIEVER_NAME: retriever} | always_up)
        self._metrics = Metrics()
        set_up_tracing()
        tune_garbage_collector()

    def __serve_build_asgi_app__(self) -> Starlette:
        """Called by Serve once the replica is made. Plain Starlette: FastAPI cost a tenth of a request's time."""
        own = serve.get_replica_context()
        # In the fields of Serve's own log lines.
        origin = {"application": own.app_name, "deployment": own.deployment, "replica": own.replica_id.unique_id}
        log = RequestLog(origin, ReplicaLogHandler())
        close_log = partial(asyncio.to_thread, log.close)
        observers = (self._metrics.count, log.write)
        return create_app(self._snapshots, self._authenticator, self._health, observers, self._warnings, [close_log])

    async def check_health(self) -> None:
        """Called by Serve before the first request and every few seconds."""
        self._replicas.refresh()

    async def reconfigure(self, change: Mapping[str, Any]) -> None:
        """Take Serve's `user_config`, a JSON merge patch to the profile. One that cannot be served changes nothing."""
        before = self._snapshots.current.version
        good = await self._snapshots.apply(change)
        if not good or self._snapshots.current.version != before:
            self._metrics.count_change(good=good)

    async def _configure_access(self, profile: Profile) -> None:
        require_keys_or_loopback(profile.access, self._host)
        await self._authenticator.configure(profile.access, profile.keys_file)

    def hosted(self) -> str:
        """The fingerprint of what is hosted here, for a bench job that wants to share it."""
        return hosted_fingerprint(self._profile)

    async def served(self) -> dict[str, Any]:
        """The state that `coe-ray change` reads: version, changes that led to it, and why the last was refused."""
        history = [asdict(change) for change in await self._snapshots.history()]
        return {
            "profile": str(self._profile.file),
            "base": snapshot_version(self._profile, None),
            "version": self._snapshots.current.version,
            "refused": self._snapshots.refused,
            "history": history,
        }


def _api_models(profile: Profile) -> dict[str, ChatModel]:
    return make_local_models(profile, LimiterRegistry(connect_governors(), is_live=True), BREAKER_S)
