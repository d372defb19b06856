"""Number of replicas of a deployment: each of them enforces its share of a client's limits."""

import asyncio
import logging
import time

from ray import serve

log = logging.getLogger("ray.serve")

REFRESH_EVERY_S = 10.0


class ReplicaCount:
    """Number of running replicas as Serve's controller reported it last; 1 before its first report.

    A replica's own context does not follow autoscaling.
    """

    def __init__(self, application: str, deployment: str) -> None:
        self.now = 1
        self._application = application
        self._deployment = deployment
        self._refreshed_at = float("-inf")
        self._refresh: asyncio.Task[None] | None = None

    def refresh(self) -> None:
        """Start to read the count in the background, where the last read is `REFRESH_EVERY_S` old; never waits.

        A controller that is slow or fails leaves the count as it is.
        """
        if time.monotonic() - self._refreshed_at < REFRESH_EVERY_S:
            return
        self._refreshed_at = time.monotonic()
        if self._refresh is not None and not self._refresh.done():
            log.warning("Serve's controller has not reported the number of %s replicas yet", self._deployment)
            return
        self._refresh = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            status = await asyncio.to_thread(serve.status)
            states = status.applications[self._application].deployments[self._deployment].replica_states
        except Exception as error:  # of any kind: a replica that answers well must stay healthy
            log.warning("the number of %s replicas is not known: %r", self._deployment, error)
            return
        self.now = max(states.get("RUNNING", 1), 1)
