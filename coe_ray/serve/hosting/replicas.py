"""How many replicas a deployment has: each enforces its share of a client's limits."""

import asyncio
import logging
import time

from ray import serve

from coe_ray.cluster.health import APPLICATION

log = logging.getLogger("ray.serve")

LOOK_EVERY_S = 10.0


class ReplicaCount:
    """`now` is what the controller said last; 1 until it is asked. A replica's context does not know of autoscaling."""

    def __init__(self, deployment: str) -> None:
        self.now = 1
        self._deployment = deployment
        self._looked_at = float("-inf")

    async def look(self) -> None:
        """Ask, where the last answer is `LOOK_EVERY_S` old. A controller that does not answer leaves the count."""
        if time.monotonic() - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = time.monotonic()
        try:
            status = await asyncio.to_thread(serve.status)
            states = status.applications[APPLICATION].deployments[self._deployment].replica_states
        except Exception as error:  # whatever it is, it must not make a replica ill that answers well
            log.warning("the number of %s replicas is not known: %r", self._deployment, error)
            return
        self.now = max(states.get("RUNNING", 1), 1)
