"""Clients of hosted models and the retriever over Serve handles that a test scripts; no cluster."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

import pytest
import ray.exceptions
from ray import serve
from ray.serve.exceptions import BackPressureError

from coe_ray.cluster.hosted import HostedModel, HostedRetriever, hosted_abilities, make_hosted_models
from coe_ray.core.abilities import ALL_ABILITIES
from coe_ray.core.call_activity import CallActivity, notify_when_sent
from coe_ray.core.errors import BadCall, CallError, ServerFault
from coe_ray.core.questions import make_question
from coe_ray.core.types import Call, Message
from coe_ray.llm.retry import RetryPolicy
from tests.support.hosted_profiles import hosted_model, profile_of

CALL = Call((Message("user", "Where?"),))


class FakeHandle:
    """A handle, its methods and their response in one; the response never comes, or is an error.

    With `activity` it keeps what was in flight at each request.
    """

    def __init__(self, error: Exception | None = None, activity: CallActivity | None = None) -> None:
        self.cancelled = False
        self.seen: list[tuple[int, int]] = []
        self._error = error
        self._activity = activity or CallActivity()
        self.nearest_all = self.chat_json = self.chat_events = self

    def options(self, *, stream: bool) -> "FakeHandle":
        return self

    def remote(self, *_: object) -> "FakeHandle":
        self.seen.append((self._activity.in_flight, self._activity.backing_off.total()))
        return self

    def __await__(self) -> Generator[Any, None, None]:
        if self._error is not None:
            raise self._error
        return asyncio.sleep(60).__await__()

    def __aiter__(self) -> "FakeHandle":
        return self

    async def __anext__(self) -> bytes:
        await self
        raise StopAsyncIteration

    def cancel(self) -> None:
        self.cancelled = True


@pytest.mark.parametrize("method", ["complete", "stream"])
async def test_requests_to_a_replica_are_counted(method: str) -> None:
    activity, sent = CallActivity(), list[str]()
    handle: Any = FakeHandle(ValueError("dead"), activity)
    model = HostedModel("toy", handle, RetryPolicy(attempts=3, base_s=0.001), activity)
    with notify_when_sent(lambda: sent.append("sent")), pytest.raises(ServerFault):
        await (model.complete(CALL) if method == "complete" else anext(model.stream(CALL)))
    assert handle.seen == [(1, 0)] * 3
    assert sent == ["sent"] * 3
    assert (activity.in_flight, activity.backing_off.total()) == (0, 0)


ENGINE_FAILED = "ServerFault: model 'toy': the engine failed: ValueError('dead')"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("dead"), ENGINE_FAILED),
        (ray.exceptions.RayTaskError("chat_json", "", ValueError("dead")), ENGINE_FAILED),
        (
            BackPressureError(num_queued_requests=8, max_queued_requests=8),
            "RateLimited: model 'toy': its queue is full",
        ),
        (ray.exceptions.ActorDiedError(), "ConnectionFault: model 'toy': no replica could be reached: ActorDiedError"),
        (BadCall("other", "no"), "BadCall: model 'other': no"),
    ],
)
async def test_errors_of_a_handle_become_call_errors(error: Exception, message: str) -> None:
    handle: Any = FakeHandle(error)
    model = HostedModel("toy", handle, RetryPolicy(attempts=1))
    for call in (model.complete(CALL), anext(model.stream(CALL))):
        with pytest.raises(CallError) as caught:
            await call
        assert f"{type(caught.value).__name__}: {caught.value}".startswith(message)


@pytest.mark.parametrize("method", ["complete", "stream", "nearest"])
async def test_a_caller_that_stops_waiting_stops_the_work(method: str) -> None:
    """As at the deadline: Serve itself stops work only where the client of the whole request leaves."""
    handle: Any = FakeHandle()
    model = HostedModel("toy", handle)
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "complete": lambda: model.complete(CALL),
        "stream": lambda: anext(model.stream(CALL)),
        "nearest": lambda: HostedRetriever(handle, Path("index")).nearest(make_question("x"), 1),
    }
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await calls[method]()
    await asyncio.sleep(0.01)  # a call that several share is a task of its own
    assert handle.cancelled


def test_hosted_models_are_those_of_the_named_application(monkeypatch: pytest.MonkeyPatch) -> None:
    handles: list[tuple[str, str]] = []
    monkeypatch.setattr(serve, "get_deployment_handle", lambda *names: handles.append(names))
    profile = profile_of(hosted_model())
    assert [*make_hosted_models(profile)] == [*make_hosted_models(profile, application="other")] == ["m0"]
    assert handles == [("model-m0", "default"), ("model-m0", "other")]


@pytest.mark.parametrize(
    ("engine", "missing"),
    [
        ({}, {"tools", "images"}),
        ({"tool_call_parser": "hermes"}, {"images"}),
        ({"tool_call_parser": "hermes", "limit_mm_per_prompt": {"image": 1}}, set()),
    ],
    ids=str,
)
def test_a_hosted_model_reads_what_its_engine_is_told_to(engine: dict[str, Any], missing: set[str]) -> None:
    """The endpoint asks for it as well as a job: requests with tools went to engines that cannot parse them."""
    model = hosted_model()
    profile = profile_of(model.model_copy(update={"engine": {**model.engine, **engine}}))
    assert ALL_ABILITIES - hosted_abilities(profile, "m0") == missing
