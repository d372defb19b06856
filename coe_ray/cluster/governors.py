"""Rate governors of a cluster: one actor, which gives every process that calls a provider its share."""

import asyncio
import hashlib
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import ray
import ray.exceptions
from ray.actor import ActorHandle
from ray.util import list_named_actors

from coe_ray.ratelimit import aimd, fair_share, governor, rate_budget, token_bucket
from coe_ray.ratelimit.governor import Lease, RateGovernor, UsageReport

log = logging.getLogger("ray.serve")

NAMESPACE = "coe_ray"
PREFIX = "governors-"
CODE: tuple[ModuleType, ...] = (aimd, fair_share, governor, rate_budget, token_bucket)

UNUSED_S = 3600.0
CHECK_EVERY_S = 300.0
"""Time without a report after which an actor of other code than the newest ends, and time between checks."""


def actor_name(modules: tuple[ModuleType, ...] = CODE) -> str:
    """The actor's name: one for each state of the code that it runs, as others need not understand its reports."""
    sources = (Path(module.__file__ or "").read_bytes() for module in modules)
    own = Path(__file__).read_bytes()
    return PREFIX + hashlib.sha256(b"\0".join((*sources, own))).hexdigest()[:12]


GOVERNORS = actor_name()


class GovernorActor:
    """Actor with the governor of every provider key that the cluster calls; it knows a key only by its hash.

    It ends when it is unused and actors of other code are there: it was left by an earlier release.
    """

    def __init__(self) -> None:
        self._governors: dict[str, RateGovernor] = {}
        self._reported_at = time.monotonic()
        handle = ray.get_runtime_context().current_actor
        threading.Thread(target=_call_regularly, args=(handle.end_if_replaced,), daemon=True).start()

    def report(self, provider: str, report: UsageReport) -> Lease:
        self._reported_at = time.monotonic()
        return self._governors.setdefault(provider, RateGovernor()).report(report)

    def end_if_replaced(self) -> None:
        """Exit for good (Ray does not restart it) where it is unused and other code has an actor."""
        if self.is_unused(time.monotonic()) and has_others(GOVERNORS):
            ray.actor.exit_actor()

    def is_unused(self, now: float) -> bool:
        return now - self._reported_at >= UNUSED_S


def has_others(name: str) -> bool:
    """Whether the cluster has governors' actors of another name."""
    actors = list_named_actors(all_namespaces=True)
    return any(
        actor["namespace"] == NAMESPACE and actor["name"].startswith(PREFIX) and actor["name"] != name
        for actor in actors
    )


def connect_governors() -> Callable[[str, UsageReport], Awaitable[Lease]]:
    """The exchange that `LimiterRegistry` uses, for any event loop of a process that is connected to the cluster.

    Makes the governors' actor where the cluster has none, now or later. An exchange that it does not answer raises
    `ConnectionError`.
    """
    actor: Any = _get_or_create()  # now: until its process is up the first calls would have to wait

    async def exchange(provider: str, report: UsageReport) -> Lease:
        nonlocal actor
        try:
            if actor is None:
                actor = await asyncio.to_thread(_get_or_create)  # may wait for the cluster's control service
            lease: Lease = await actor.report.remote(provider, report)
        except ray.exceptions.RayError as error:
            actor = None
            raise ConnectionError(
                f"actor {GOVERNORS!r} in namespace {NAMESPACE!r} does not answer ({type(error).__name__}); "
                "it will be created again, `ray list actors` shows its state"
            ) from error
        return lease

    return exchange


def _get_or_create() -> ActorHandle:
    """The actor. Detached: it outlives the job that happened to come first."""
    options = {"name": GOVERNORS, "namespace": NAMESPACE, "lifetime": "detached", "get_if_exists": True}
    return ray.remote(num_cpus=0, max_restarts=-1)(GovernorActor).options(**options).remote()


def _call_regularly(method: Any) -> None:
    while True:
        time.sleep(CHECK_EVERY_S)
        method.remote()
