"""Journaled model: calls its model only for what the journal lacks, and appends each outcome before returning it."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from functools import cache, partial

import orjson

from coe_ray.core.call_activity import notify_when_sent
from coe_ray.core.chat_model import ChatModel, stream_completion
from coe_ray.core.errors import BadCall, CallError, ContentFiltered, MalformedReply, NotInJournal
from coe_ray.core.types import Call, Completion, Delta
from coe_ray.journal.entries import PARTS, CallOutcome, Part, call_key
from coe_ray.journal.journal import Journal


class JournaledModel:
    """`ChatModel` that answers repeated calls out of the journal and sends the others to `model`.

    Answers and refusals are always reused. Failures are reused only if neither time nor a person can have repaired
    them: when the same command runs again, an outage may be over and a key replaced. With `retry_failed` every failure
    is tried again. Without a `model` (a replay) every outcome is reused, and other calls raise `NotInJournal`.

    `identity` distinguishes the model from others that might answer differently; `name` is only its local name.
    `reads` are the parts of a call that the model is sent beside messages and settings: they too make calls different.
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
        """The answer. Raises the model's `CallError`, and `DataError` where the journal cannot be written."""
        key = self._key(call)
        while True:
            if outcome := self._find_final(key):
                return self._reuse(key, outcome)
            if key not in self._journal.in_flight:
                return await self._call_once(key, call)
            if outcome := await self._wait_for_same(key):
                return self._reuse(key, outcome)

    def stream(self, call: Call) -> AsyncIterator[Delta]:
        """The answer as one delta: jobs do not stream."""
        return stream_completion(self, call)

    def _key(self, call: Call) -> bytes:
        try:
            return call_key(self._identity, call, self._reads)
        except orjson.JSONEncodeError as error:
            raise BadCall(self.name, f"the request cannot be written as JSON: {error}", attempts=0) from None

    def _find_final(self, key: bytes) -> CallOutcome | None:
        outcome = self._journal.find(key)
        return outcome if outcome and self._is_final(key, outcome) else None

    def _is_final(self, key: bytes, outcome: CallOutcome) -> bool:
        if self._model is None or isinstance(outcome, Completion | ContentFiltered):
            return True
        # A call that failed in this process is not repeated for the next system that needs it.
        return key in self._failed or not (outcome.stops or outcome.retryable or self._retry_failed)

    def _reuse(self, key: bytes, outcome: CallOutcome) -> Completion:
        if self._model is not None:  # a replay leaves the journal as it is
            self._journal.append_reused(key, self.name)
        if isinstance(outcome, Completion):
            return outcome
        raise type(outcome)(self.name, outcome.message, **outcome.fields())

    async def _wait_for_same(self, key: bytes) -> CallOutcome | None:
        """The outcome of the same call, which is in flight; `None` where it is cancelled."""
        other = self._journal.in_flight[key]
        await asyncio.wait([other])  # unlike `await other`, cancelling this does not cancel the other
        return other.result()

    async def _call_once(self, key: bytes, call: Call) -> Completion:
        done = self._journal.in_flight[key] = asyncio.get_running_loop().create_future()
        outcome: CallOutcome | None = None
        try:
            outcome = await self._call_model(key, call)
        finally:
            del self._journal.in_flight[key]
            done.set_result(outcome)
        if isinstance(outcome, Completion):
            return outcome
        raise outcome

    async def _call_model(self, key: bytes, call: Call) -> CallOutcome:
        if self._model is None:
            raise NotInJournal(
                self.name, "the journal does not have this call, and a replay makes no calls", attempts=0
            )
        # Once: when its request leaves, or at its end if the model never notifies.
        record_issued = cache(partial(self._journal.append_issued, key, self.name, call))
        outcome: CallOutcome
        try:
            with notify_when_sent(record_issued):
                outcome = await self._model.complete(call)
        except CallError as error:
            if not error.attempts:  # it was never sent
                raise
            outcome = error
        record_issued()
        return self._append_outcome(key, outcome)

    def _append_outcome(self, key: bytes, outcome: CallOutcome) -> CallOutcome:
        try:
            self._journal.append_outcome(key, self.name, outcome)
        except orjson.JSONEncodeError as error:
            message = f"the reply cannot be written as JSON: {error}"
            return self._append_outcome(key, MalformedReply(self.name, message, attempts=outcome.attempts))
        if isinstance(outcome, CallError):
            self._failed.add(key)
        return outcome
