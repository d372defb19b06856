"""The rate governors of a cluster: one actor, which gives every process that calls a provider its share."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

import ray
import ray.exceptions
from ray.actor import ActorHandle

from coe_ray.ratelimit.governor import Lease, RateGovernor, UsageReport

log = logging.getLogger("ray.serve")

NAMESPACE = "coe_ray"

GOVERNORS = f"governors-{version('coe_ray')}"
"""The governors' actor: one for the cluster and the release, as releases need not understand each other's reports."""


class GovernorActor:
    """The governor of every provider key that the cluster calls. Made as an actor; knows a key only by its hash."""

    def __init__(self) -> None:
        self._governors: dict[str, RateGovernor] = {}

    def report(self, provider: str, report: UsageReport) -> Lease:
        return self._governors.setdefault(provider, RateGovernor()).report(report)


def connect_governors() -> Callable[[str, UsageReport], Awaitable[Lease]]:
    """What `Gates` asks for leases, on any event loop of a process that is connected to the cluster.

    Makes the governors' actor where the cluster has none, now or later. Raises `ConnectionError` from an exchange
    that it does not answer.
    """
    return _RemoteGovernors().report


class _RemoteGovernors:
    def __init__(self) -> None:
        # Now: until its process is up the first calls would have to wait.
        self._actor: Any = _governors()

    async def report(self, provider: str, report: UsageReport) -> Lease:
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
    return ray.remote(num_cpus=0, max_restarts=-1)(GovernorActor).options(**options).remote()
