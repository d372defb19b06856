"""The edition that is served now, how it changes, and the changes before: a bad change leaves everything as it was."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from coe_ray.core.errors import CoeError
from coe_ray.profile.profile import Profile
from coe_ray.serve.snapshot.history import Change, ChangeHistory
from coe_ray.serve.snapshot.snapshot import SnapshotBuilder, snapshot_version

log = logging.getLogger("ray.serve")


class SnapshotManager:
    """Holds `current`, which is replaced whole. `refused` says why the last change was not taken, where it was not."""

    def __init__(self, printer: SnapshotBuilder, prepare: Callable[[Profile], None]) -> None:
        """`prepare` is called before an edition is served; where it raises `CoeError`, the edition is not."""
        self._printer = printer
        self._prepare = prepare
        self.current = printer.first()
        self.refused: str | None = None
        self._change: Mapping[str, Any] = {}
        # By the profile alone: a leaderboard that was written anew in its place is no other profile.
        self._log = ChangeHistory(snapshot_version(self.current.profile, None), self.current.version)
        self._turn = asyncio.Lock()

    async def switch(self, change: Mapping[str, Any]) -> bool:
        """Serve with this change from now on; whether it could be taken.

        A replica that starts with a change that cannot be taken serves the last one that could.
        """
        async with self._turn:
            try:
                await self._take(change)
            except Exception as error:  # whatever left here would end this replica, and each other one the same way
                self.refused = str(error) if isinstance(error, CoeError) else repr(error)
                log.error("change refused, version %s goes on: %s", self.current.version, self.refused)
                await self._take_last()
                return False
            self.refused = None
            await self._note(Change(dict(change), self.current.version))
            return True

    async def history(self) -> list[Change]:
        """The changes taken since the profile was deployed, oldest first; the last is the one that is served."""
        return await asyncio.to_thread(self._log.read)

    async def _take(self, change: Mapping[str, Any]) -> None:
        edition = await self._printer.next(change, self.current)
        self._prepare(edition.profile)
        if edition.version != self.current.version:
            log.warning("version %s is served from now on, before it %s", edition.version, self.current.version)
            self.current = edition
        self._change = change

    async def _note(self, change: Change) -> None:
        try:
            await asyncio.to_thread(self._log.note, change)
        except Exception:  # the control service is away: the change is served all the same
            log.exception("version %s is served, but is not in the history", change.version)

    async def _take_last(self) -> None:
        try:
            history = await self.history()
            if history[-1].content != self._change:
                await self._take(history[-1].content)
        except Exception:  # as in `switch`
            log.exception("the change before cannot be taken any more, version %s goes on", self.current.version)
