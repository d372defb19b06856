"""What stands behind an ingress, and whether it answers: asked once a second at most, however many ask."""

import asyncio
import math
from collections.abc import Mapping

from ray.serve.handle import DeploymentHandle

from coe_ray.cluster.health import is_answering

RETRIEVER_NAME = "retriever"
LOOK_EVERY_S = 1.0


class DependencyHealth:
    """Deployments that are always wanted, by the name of their model."""

    def __init__(self, handles: Mapping[str, DeploymentHandle]) -> None:
        self._handles = dict(handles)
        self._were_up: set[str] = set()
        self._looking: asyncio.Task[list[str]] | None = None
        self._looked_at = -math.inf

    async def waiting(self) -> list[str]:
        """Those that do not answer."""
        now = asyncio.get_running_loop().time()
        if self._looking is None or (self._looking.done() and now - self._looked_at > LOOK_EVERY_S):
            self._looking, self._looked_at = asyncio.create_task(self._look()), now
        return await asyncio.shield(self._looking)

    def is_needed(self, name: str, classifier: str) -> bool:
        """Whether nothing can be answered well without it; and each has to come up once."""
        return name in (RETRIEVER_NAME, classifier) or name not in self._were_up

    async def _look(self) -> list[str]:
        up = await asyncio.gather(*map(is_answering, self._handles.values()))
        waiting = [name for name, well in zip(self._handles, up, strict=True) if not well]
        self._were_up |= set(self._handles) - set(waiting)
        return waiting
