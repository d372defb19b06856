"""Readiness of the deployments that an endpoint depends on: checked once a second at most, however many ask."""

import asyncio
import math
from collections.abc import Mapping

from ray.serve.handle import DeploymentHandle

from coe_ray.cluster.health import is_answering

RETRIEVER_NAME = "retriever"
CHECK_EVERY_S = 1.0


class DependencyHealth:
    """Health of the deployments that must always be up, by the name of their model."""

    def __init__(self, handles: Mapping[str, DeploymentHandle]) -> None:
        self._handles = dict(handles)
        self._were_up: set[str] = set()
        self._check: asyncio.Task[list[str]] | None = None
        self._checked_at = -math.inf

    async def waiting(self) -> list[str]:
        """Names of those that do not answer."""
        now = asyncio.get_running_loop().time()
        if self._check is None or (self._check.done() and now - self._checked_at > CHECK_EVERY_S):
            self._check, self._checked_at = asyncio.create_task(self._check_all()), now
        return await asyncio.shield(self._check)

    def is_needed(self, name: str, classifier: str) -> bool:
        """Whether the endpoint is not ready without it: retriever, classifier, and whatever was never up yet."""
        return name in (RETRIEVER_NAME, classifier) or name not in self._were_up

    async def _check_all(self) -> list[str]:
        answering = await asyncio.gather(*map(is_answering, self._handles.values()))
        waiting = [name for name, is_up in zip(self._handles, answering, strict=True) if not is_up]
        self._were_up |= set(self._handles) - set(waiting)
        return waiting
