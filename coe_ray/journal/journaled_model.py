"""A model behind the journal: asked only for what is not written down, and written down before anyone sees it."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping

import orjson

from coe_ray.core.call_activity import notify_when_sent
from coe_ray.core.chat_model import ChatModel, stream_completion
from coe_ray.core.errors import BadCall, CallError, ContentFiltered, MalformedReply, NotInJournal
from coe_ray.core.types import Call, Completion, Delta
from coe_ray.journal.entries import PARTS, CallOutcome, Part
from coe_ray.journal.journal import Journal, call_key


class JournaledModel:
    """`ChatModel` that answers out of the journal what was asked before, and asks `model` for the rest.

    Answers and refusals are always used again. A failure is, where neither time nor a person can have mended it:
    an outage is over, and a key put right, when the same command runs again; with `retry_failed` every failure is
    asked again. Without a `model` (a replay) whatever is written down is used, and the rest raises `NotInJournal`.

    `identity` is what tells the model from others that might answer differently; `name` is only ours. `reads` says
    what the model is sent beside messages and settings: only that makes two calls different ones.
    """

    def __init__(
        self,
        name: str,
        identity: Mapping[str, object],
        journal: Journal,
        model: ChatModel | None,
        *,
        reads: Collection[Part] = PARTS,
        retry_failed: bool = False,
    ) -> None:
        self.name = name
        self._identity = dict(identity)
        self._reads = frozenset(reads)
        self._journal = journal
        self._model = model
        self._retry_failed = retry_failed
        self._failed: set[bytes] = set()

    async def complete(self, call: Call) -> Completion:
        """The answer. Raises `CallError` as the model did, and `DataError` where the journal cannot be written."""
        key = self._key(call)
        while True:
            if outcome := self._usable(key):
                return self._reused(key, outcome)
            if key not in self._journal.under_way:
                return await self._asked(key, call)
            if outcome := await self._others(key):
                return self._reused(key, outcome)

    def stream(self, call: Call) -> AsyncIterator[Delta]:
        """The answer all at once: jobs do not stream."""
        return stream_completion(self, call)

    def _key(self, call: Call) -> bytes:
        try:
            return call_key(self._identity, call, self._reads)
        except orjson.JSONEncodeError as error:
            raise BadCall(self.name, f"the request cannot be written as JSON: {error}", attempts=0) from None

    def _usable(self, key: bytes) -> CallOutcome | None:
        outcome = self._journal.find(key)
        return outcome if outcome and self._is_final(key, outcome) else None

    def _is_final(self, key: bytes, outcome: CallOutcome) -> bool:
        if self._model is None or isinstance(outcome, Completion | ContentFiltered):
            return True
        # What failed just now is not asked again for the next system that needs it.
        return key in self._failed or not (outcome.stops or outcome.retryable or self._retry_failed)

    def _reused(self, key: bytes, outcome: CallOutcome) -> Completion:
        if self._model is not None:  # a replay leaves the journal as it is
            self._journal.reuse(key, self.name)
        if isinstance(outcome, Completion):
            return outcome
        raise type(outcome)(self.name, outcome.message, **outcome.fields())

    async def _others(self, key: bytes) -> CallOutcome | None:
        """What comes of the same call that is under way; `None` where nothing does."""
        other = self._journal.under_way[key]
        await asyncio.wait([other])  # unlike `await other`, it leaves the other alone when this one is cancelled
        return other.result()

    async def _asked(self, key: bytes, call: Call) -> Completion:
        done = self._journal.under_way[key] = asyncio.get_running_loop().create_future()
        outcome: CallOutcome | None = None
        try:
            outcome = await self._outcome(key, call)
        finally:
            del self._journal.under_way[key]
            done.set_result(outcome)
        if isinstance(outcome, Completion):
            return outcome
        raise outcome

    async def _outcome(self, key: bytes, call: Call) -> CallOutcome:
        if self._model is None:
            raise NotInJournal(self.name, "the journal has no such call, and a replay asks nobody", attempts=0)
        note = _Begun(self._journal, key, self.name, call)
        outcome: CallOutcome
        try:
            with notify_when_sent(note):
                outcome = await self._model.complete(call)
        except CallError as error:
            if not error.attempts:  # it was never sent
                raise
            outcome = error
        note()
        return self._written(key, outcome)

    def _written(self, key: bytes, outcome: CallOutcome) -> CallOutcome:
        try:
            self._journal.finish(key, self.name, outcome)
        except orjson.JSONEncodeError as error:
            message = f"the reply cannot be written as JSON: {error}"
            return self._written(key, MalformedReply(self.name, message, attempts=outcome.attempts))
        if isinstance(outcome, CallError):
            self._failed.add(key)
        return outcome


class _Begun:
    """Notes once that a call began: when its request leaves, or at its end where the model never tells."""

    def __init__(self, journal: Journal, key: bytes, model: str, call: Call) -> None:
        self._journal = journal
        self._about = (key, model, call)
        self._noted = False

    def __call__(self) -> None:
        if not self._noted:
            self._journal.begin(*self._about)
            self._noted = True
