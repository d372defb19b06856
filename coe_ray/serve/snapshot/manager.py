"""The current snapshot, how it changes, and the changes before: a bad change leaves everything as it was."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from coe_ray.core.errors import CoeError
from coe_ray.llm.http import HttpModel
from coe_ray.profile.profile import Profile
from coe_ray.serve.snapshot.history import Change, ChangeHistory, KeyValueStore
from coe_ray.serve.snapshot.snapshot import SnapshotBuilder, snapshot_version

log = logging.getLogger("ray.serve")


class SnapshotManager:
    """Holder of the `current` snapshot, which is only replaced as a whole.

    `refused` is the reason why the last change was not taken; `None` where it was.
    """

    def __init__(
        self, builder: SnapshotBuilder, store: KeyValueStore, prepare: Callable[[Profile], Awaitable[None]]
    ) -> None:
        """`prepare` is awaited before a snapshot is served; where it raises, the snapshot is not."""
        self._builder = builder
        self._prepare = prepare
        self.current = builder.first()
        self.deployed = self.current.profile
        self.refused: str | None = None
        self._change: Mapping[str, Any] = {}
        # By the profile alone: it is the same profile with a leaderboard that was rewritten in place.
        self._history = ChangeHistory(store, snapshot_version(self.deployed, None), self.current.version)
        self._lock = asyncio.Lock()

    async def apply(self, change: Mapping[str, Any]) -> bool:
        """Serve the deployed profile with this change from now on; False where it was refused.

        A replica that starts with a change that cannot be served takes the last one of the history.
        """
        async with self._lock:
            try:
                await self._take(change)
            except Exception as error:  # raised to Serve, it would end this replica, and every other the same way
                self.refused = str(error) if isinstance(error, CoeError) else repr(error)
                log.error("change refused, version %s goes on: %s", self.current.version, self.refused)
                await self._take_last()
                return False
            self.refused = None
            await self._record(Change(dict(change), self.current.version))
            return True

    async def history(self) -> list[Change]:
        """The changes taken since the profile was deployed, oldest first; the last is the one that is served."""
        return await asyncio.to_thread(self._history.read)

    async def close(self) -> None:
        """Close the connections of the models that are served. (A model that a change removed closes its own.)"""
        for model in self.current.local_models.values():
            if isinstance(model, HttpModel):
                await model.close()

    async def _take(self, change: Mapping[str, Any]) -> None:
        snapshot = await self._builder.next(change, self.current)
        await self._prepare(snapshot.profile)
        if snapshot.version != self.current.version:
            log.warning("version %s is served from now on, before it %s", snapshot.version, self.current.version)
            self.current = snapshot
        self._change = change

    async def _record(self, change: Change) -> None:
        try:
            await asyncio.to_thread(self._history.append, change)
        except Exception:  # the control service is away: the change is served all the same
            log.exception("version %s is served, but is not in the history", change.version)

    async def _take_last(self) -> None:
        try:
            history = await self.history()
            if history[-1].content != self._change:
                await self._take(history[-1].content)
        except Exception:  # as in `apply`
            log.exception("the change before cannot be taken any more, version %s goes on", self.current.version)
