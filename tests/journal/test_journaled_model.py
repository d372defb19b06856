"""A model behind the journal: what is written down is not asked again, and nothing is seen before it is written."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from coe_ray.core import errors
from coe_ray.core.call_activity import CallActivity
from coe_ray.core.chat_model import ChatModel, stream_completion
from coe_ray.core.errors import CallError
from coe_ray.core.types import Call, Completion, Delta
from coe_ray.journal.audit import Audit, audit_calls
from coe_ray.journal.entries import CallOutcome
from coe_ray.journal.journal import Journal
from coe_ray.journal.journaled_model import JournaledModel
from tests.support.journal_world import ANSWER, IDENTITY, call, key

pytestmark = pytest.mark.asyncio

ASKED = call("Which?")
Failing = Callable[[], CallError]


class Provider:
    """Counts what it is asked, and says what it is told to once it is `open`. `tells`: when its requests leave."""

    name = "provider"

    def __init__(self, says: CallOutcome = ANSWER, *, tells: bool = True) -> None:
        self.says = says
        self.tells = tells
        self.calls = 0
        self.reached = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()
        self._activity = CallActivity()

    async def complete(self, call: Call) -> Completion:
        self.calls += 1
        for _ in range(2 * self.tells):  # as for two tries
            with self._activity.count_in_flight():
                pass
        self.reached.set()
        await self.open.wait()
        if isinstance(self.says, Completion):
            return self.says
        raise self.says

    def stream(self, call: Call) -> AsyncIterator[Delta]:
        return stream_completion(self, call)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal.open(tmp_path, "run")
    yield journal
    journal.close()


def journaled(
    journal: Journal, model: ChatModel | None, name: str = "ours", *, retry_failed: bool = False
) -> JournaledModel:
    return JournaledModel(name, IDENTITY, journal, model, retry_failed=retry_failed)


async def raised(model: JournaledModel) -> CallError:
    with pytest.raises(CallError) as caught:
        await model.complete(ASKED)
    return caught.value


def counted(place: Path, name: str = "ours") -> Audit:
    return audit_calls(place, "run").get(name, Audit(*[0] * 9))


async def test_it_is_a_chat_model(journal: Journal) -> None:
    model = journaled(journal, Provider())
    assert isinstance(model, ChatModel)
    assert [delta async for delta in model.stream(ASKED)] == [Delta("Paris.", "stop", ANSWER.usage)]


@pytest.mark.parametrize("tells", [True, False])
async def test_an_answer_is_asked_for_once_and_kept_as_it_was(journal: Journal, tmp_path: Path, *, tells: bool) -> None:
    provider = Provider(tells=tells)
    model = journaled(journal, provider)
    assert [await model.complete(ASKED) for _ in range(3)] == [ANSWER] * 3
    assert provider.calls == 1
    counts = counted(tmp_path)
    assert (counts.issued, counts.completed, counts.reused, counts.retried) == (1, 1, 2, 1)


async def test_another_name_for_the_same_model_shares_its_calls_and_another_model_does_not(journal: Journal) -> None:
    provider, other = Provider(), Provider()
    await journaled(journal, provider).complete(ASKED)
    assert await journaled(journal, None, "theirs").complete(ASKED) == ANSWER
    changed = JournaledModel("ours", {**IDENTITY, "revision": "2"}, journal, other)
    assert await changed.complete(ASKED) == ANSWER
    assert (provider.calls, other.calls) == (1, 1)


async def test_it_is_written_down_before_it_is_returned(journal: Journal, tmp_path: Path) -> None:
    await journaled(journal, Provider()).complete(ASKED)
    assert Journal.open(tmp_path).find(key("Which?")) == ANSWER


async def test_a_failure_is_final_and_raised_again_under_one_s_own_name(journal: Journal) -> None:
    failure = errors.BadCall("ours", "HTTP 422", status=422, attempts=3, body="sorry")
    provider = Provider(failure)
    assert (await raised(journaled(journal, provider))) is failure
    again = await raised(journaled(journal, provider, "theirs"))
    assert (type(again), again.model, again.message) == (errors.BadCall, "theirs", "HTTP 422")
    assert again.fields() == failure.fields()
    assert provider.calls == 1


async def test_failures_are_asked_again_once_where_that_is_wanted(journal: Journal, tmp_path: Path) -> None:
    provider = Provider(errors.BadCall("ours", "no"))
    await raised(journaled(journal, provider))
    patient = journaled(journal, provider, retry_failed=True)
    await raised(patient)
    await raised(patient)  # another system's need for the same call: it has failed in this run
    assert provider.calls == 2
    provider.says = ANSWER
    assert await journaled(journal, provider, retry_failed=True).complete(ASKED) == ANSWER
    assert counted(tmp_path).repeated == 2


async def test_a_refusal_is_an_outcome_like_an_answer(journal: Journal) -> None:
    provider = Provider(errors.ContentFiltered("ours", "no"))
    for _ in range(2):
        assert isinstance(await raised(journaled(journal, provider, retry_failed=True)), errors.ContentFiltered)
    assert provider.calls == 1


@pytest.mark.parametrize("kind", [kind for kind in CallError.__subclasses__() if kind.stops or kind.retryable])
async def test_what_time_or_a_person_can_mend_is_asked_again_by_the_next_run(
    journal: Journal, kind: type[CallError]
) -> None:
    provider = Provider(kind("ours", "no"))
    first = journaled(journal, provider)
    for _ in range(2):
        assert type(await raised(first)) is kind
    assert provider.calls == 1
    assert type(await raised(journaled(journal, None))) is kind  # a replay tells what is written down
    provider.says = ANSWER
    assert await journaled(journal, provider).complete(ASKED) == ANSWER
    assert await journaled(journal, None).complete(ASKED) == ANSWER


async def test_a_replay_leaves_the_journal_as_it_is(journal: Journal, tmp_path: Path) -> None:
    await journaled(journal, Provider()).complete(ASKED)
    replay = Journal.open(tmp_path, "replay")
    assert await journaled(replay, None).complete(ASKED) == ANSWER
    missing = JournaledModel("ours", {}, replay, None)
    assert type(await raised(missing)) is errors.NotInJournal
    assert audit_calls(tmp_path, "replay") == {}


async def test_a_replay_asks_nobody(journal: Journal) -> None:
    missing = await raised(journaled(journal, None))
    assert (type(missing), missing.model, missing.attempts) == (errors.NotInJournal, "ours", 0)


async def test_what_was_never_sent_is_not_written_down(journal: Journal, tmp_path: Path) -> None:
    provider = Provider(errors.BadCredentials("ours", "the circuit is open", attempts=0), tells=False)
    await raised(journaled(journal, provider))
    assert audit_calls(tmp_path) == {}


async def test_an_error_that_is_no_call_s_passes_and_leaves_an_abandoned_call(journal: Journal, tmp_path: Path) -> None:
    class Broken(Provider):
        async def complete(self, call: Call) -> Completion:
            await super().complete(call)
            raise ZeroDivisionError

    model = journaled(journal, Broken())
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await model.complete(ASKED)
    assert (counted(tmp_path).issued, counted(tmp_path).abandoned) == (2, 2)


async def test_a_cancelled_call_is_abandoned_once_it_was_sent(journal: Journal, tmp_path: Path) -> None:
    for tells, issued in ((False, 0), (True, 1)):
        provider = Provider(tells=tells)
        provider.open.clear()
        task = asyncio.create_task(journaled(journal, provider).complete(ASKED))
        await provider.reached.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert counted(tmp_path).abandoned == issued
    assert journal.in_flight == {}


async def begun(*models: JournaledModel) -> list["asyncio.Task[Completion]"]:
    """The same call by each of the models, each waiting for what it waits for."""
    tasks = [asyncio.create_task(model.complete(ASKED)) for model in models]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


@pytest.mark.parametrize("says", [ANSWER, errors.ServerFault("ours", "no"), errors.BadCredentials("ours", "no")])
async def test_the_same_call_under_way_is_waited_for(journal: Journal, tmp_path: Path, says: CallOutcome) -> None:
    provider = Provider(says)
    provider.open.clear()
    models = [
        journaled(journal, provider, retry_failed=True),
        journaled(journal, provider, "theirs", retry_failed=True),
    ]
    tasks = await begun(*models, *models)
    provider.open.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {type(says)}
    assert provider.calls == 1
    assert (counted(tmp_path).issued, counted(tmp_path).reused, counted(tmp_path, "theirs").reused) == (1, 1, 2)


async def test_those_who_wait_for_a_cancelled_call_ask_themselves(journal: Journal, tmp_path: Path) -> None:
    provider = Provider()
    provider.open.clear()
    first, second, third = await begun(*[journaled(journal, provider)] * 3)
    provider.reached.clear()
    first.cancel()
    await provider.reached.wait()
    provider.open.set()
    assert [await second, await third] == [ANSWER, ANSWER]
    assert first.cancelled()
    counts = counted(tmp_path)
    assert (provider.calls, counts.issued, counts.abandoned, counts.repeated, counts.reused) == (2, 2, 1, 1, 1)


async def test_one_who_waits_may_leave_without_ending_the_call(journal: Journal) -> None:
    provider = Provider()
    provider.open.clear()
    first, second = await begun(*[journaled(journal, provider)] * 2)
    second.cancel()
    await asyncio.wait([second])
    provider.open.set()
    assert await first == ANSWER
    assert (provider.calls, second.cancelled()) == (1, True)


async def test_what_json_cannot_hold_is_an_error_of_the_call(journal: Journal, tmp_path: Path) -> None:
    provider = Provider(Completion("half a pair: \ud800"))
    with pytest.raises(errors.BadCall, match="cannot be written as JSON") as caught:
        await journaled(journal, provider).complete(call("\ud800"))
    assert (caught.value.attempts, provider.calls, audit_calls(tmp_path)) == (0, 0, {})
    model = journaled(journal, provider)
    for _ in range(2):
        assert isinstance(await raised(model), errors.MalformedReply)
    assert (provider.calls, counted(tmp_path).failed) == (1, 1)


@pytest.mark.parametrize(
    "says", [Completion("half a pair: \ud800", attempts=3), errors.BadCall("ours", "half a pair: \ud800", attempts=3)]
)
async def test_a_reply_that_cannot_be_written_cost_its_tries(
    journal: Journal, tmp_path: Path, says: CallOutcome
) -> None:
    assert (await raised(journaled(journal, Provider(says)))).attempts == 3
    assert counted(tmp_path).retried == 2


async def test_calls_that_look_alike_to_the_model_are_one(journal: Journal) -> None:
    provider, choosy = Provider(), Provider()
    for model in (JournaledModel("ours", {}, journal, provider, reads=()), journaled(journal, choosy)):
        for choices in ((), ("A", "B")):
            assert await model.complete(replace(ASKED, choices=choices)) == ANSWER
    assert (provider.calls, choosy.calls) == (1, 2)
