"""HttpModel against a real server: whole answers, many at once, cancelled, closed."""

import asyncio
import pickle
import random
import time
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import orjson
import pytest

from coe_ray.core import errors
from coe_ray.core.call_activity import notify_when_sent
from coe_ray.core.chat_model import ChatModel
from coe_ray.core.types import Call, Completion, Message, SamplingParams, Usage
from coe_ray.llm import http
from coe_ray.llm.http import MAX_KEPT, HttpModel
from coe_ray.llm.retry import RetryPolicy, Timeouts
from coe_ray.ratelimit.limiter import LimiterRegistry
from tests.support.fault_server import DONE, FaultServer, Reply, answer, fault, streamed
from tests.support.model_under_test import CALL, KEY, PARIS, collect_stream, made, until

pytestmark = pytest.mark.asyncio


async def test_a_completion_has_text_reason_usage_attempts_and_seconds(server: FaultServer, model: HttpModel) -> None:
    server.reset(answer("B", "length", reasoning_content="Let me think."))
    completion = await model.complete(CALL)
    assert completion.seconds > 0
    assert completion == Completion("B", "length", Usage(7, 3), None, 1, completion.seconds)


async def test_the_request_is_openai_s(server: FaultServer) -> None:
    server.reset(answer("B"))
    model = made(server.base_url + "/", extra_body={"temperature": 0.0, "enable_thinking": False})
    await model.complete(Call(CALL.messages, CALL.settings, choices=("A", "B")))
    await model.close()
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert server.headers[0]["Content-Type"] == "application/json"
    assert server.bodies[0] == {
        "model": "provider/model-a",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Which?"}],
        "temperature": 0.0,
        "stop": ["\n"],
        "enable_thinking": False,
    }


def of_a_client(*, settings: SamplingParams = SamplingParams(), **fields: Any) -> Call:
    """A call that passes a client's request on."""
    messages = [{"role": "user", "content": [{"type": "text", "text": "Which?"}]}]
    return Call((Message("user", "Which?"),), settings, request={"messages": messages, **fields})


async def test_a_clients_request_goes_through_as_it_came(server: FaultServer, model: HttpModel) -> None:
    server.reset(answer("B"))
    fields = {"tools": [{"type": "function"}], "top_k": 5, "temperature": None, "model": "coe", "stream": False}
    call = of_a_client(settings=SamplingParams(temperature=0.0, max_tokens=9), **fields)
    completion = await model.complete(call)
    assert call.request is not None
    assert server.bodies == [
        {
            **{"model": "provider/model-a", "messages": call.request["messages"], "max_tokens": 9},
            **{"tools": [{"type": "function"}], "top_k": 5, "temperature": None},
        }
    ]
    assert completion.reply == orjson.loads(answer("B").body)


async def test_a_clients_stream_options_are_kept(server: FaultServer, model: HttpModel) -> None:
    server.reset(streamed(*PARIS, DONE))
    call = of_a_client(stream_options={"include_usage": False, "include_obfuscation": False}, stream=True)
    assert "".join([delta.text async for delta in model.stream(call)]) == "Paris"
    assert server.bodies[0]["stream_options"] == {"include_usage": True, "include_obfuscation": False}
    assert server.bodies[0]["stream"] is True


RENAMED = {"max_tokens": "max_completion_tokens", "temperature": None}


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({}, {"max_completion_tokens": 9}),
        ({"max_tokens": 5}, {"max_completion_tokens": 5}),
        ({"max_completion_tokens": 7}, {"max_completion_tokens": 7}),
        ({"max_tokens": 5, "max_completion_tokens": 7}, {"max_completion_tokens": 7}),
        ({"temperature": 0.5}, {"max_completion_tokens": 9, "temperature": 0.5}),
    ],
)
async def test_parameters_are_renamed_and_our_own_are_kept_back(
    server: FaultServer, fields: dict[str, Any], sent: dict[str, Any]
) -> None:
    server.reset(answer("B"))
    model = made(server.base_url, parameters=RENAMED)
    await model.complete(of_a_client(settings=SamplingParams(temperature=0.0, max_tokens=9), **fields))
    await model.close()
    (body,) = server.bodies
    assert {name: body[name] for name in body.keys() - {"model", "messages"}} == sent


async def test_a_jobs_parameters_are_renamed_too(server: FaultServer) -> None:
    server.reset(answer("B"))
    model = made(server.base_url, parameters=RENAMED)
    await model.complete(Call(CALL.messages, SamplingParams(temperature=0.0, max_tokens=9, seed=1)))
    await model.close()
    assert server.bodies[0].keys() == {"model", "messages", "max_completion_tokens", "seed"}


@pytest.mark.parametrize("key", [None, "", " \n"])
async def test_no_key_no_header(server: FaultServer, key: str | None) -> None:
    server.reset(answer("B"))
    model = made(server.base_url, api_key=key)
    await model.complete(CALL)
    await model.close()
    assert "Authorization" not in server.headers[0]


@pytest.mark.parametrize(
    ("reply", "text", "refusal"),
    [
        (answer(None, refusal="I cannot help."), "", "I cannot help."),
        (answer("Half an ans", "content_filter"), "Half an ans", "content_filter"),
        (answer("", "content_filter"), "", "content_filter"),
        (answer(""), "", None),
        (answer(None, reasoning_content="hm"), "", None),
        (answer("B", None), "B", None),
        (
            Reply(body=b'{"choices":[{"message":{"content":[{"type":"text","text":"B"},{"x":1},2]}}]}'),
            "B",
            None,
        ),
    ],
)
async def test_refused_and_empty_are_different(
    server: FaultServer, model: HttpModel, reply: Reply, text: str, refusal: str | None
) -> None:
    server.reset(reply)
    completion = await model.complete(CALL)
    assert (completion.text, completion.refusal) == (text, refusal)


@pytest.mark.parametrize(
    ("reply", "text", "refusal"),
    [
        (answer(f"Your key is {KEY}."), "Your key is ***.", None),
        (answer(None, refusal=f"{KEY}?"), "", "***?"),
        (answer(f"It begins with {KEY[:7]}"), f"It begins with {KEY[:7]}", None),
    ],
)
async def test_an_answer_that_echoes_the_key_is_rid_of_it(
    server: FaultServer, model: HttpModel, reply: Reply, text: str, refusal: str | None
) -> None:
    server.reset(replace(reply, headers={"Content-Type": "application/json"}))
    completion = await model.complete(CALL)
    assert (completion.text, completion.refusal) == (text, refusal)
    assert "".join([delta.text async for delta in model.stream(CALL)]) == (text or refusal)


async def test_a_short_key_may_be_the_answer(server: FaultServer) -> None:
    server.reset(answer("EMPTY"))
    model = made(server.base_url, api_key="EMPTY")
    assert (await model.complete(CALL)).text == "EMPTY"
    await model.close()


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
@pytest.mark.parametrize("streaming", [True, False])
async def test_an_answer_without_an_end_is_not_read_to_it(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch, content_type: str, *, streaming: bool
) -> None:
    monkeypatch.setattr(http, "MAX_REPLY", 2 * MAX_KEPT)
    headers = {"Content-Type": content_type}
    server.reset(Reply(pieces=(b" " * MAX_KEPT,) * 3 + (b"",), headers=headers, gap_s=0.01))
    model = made(server.base_url)
    with pytest.raises(errors.MalformedReply, match=f"longer than {2 * MAX_KEPT} bytes") as caught:
        await (collect_stream(model) if streaming else model.complete(CALL))
    await model.close()
    assert len(caught.value.body) == 2000


async def test_of_an_error_s_body_only_the_beginning_is_read(server: FaultServer) -> None:
    server.reset(Reply(400, pieces=(b"x" * MAX_KEPT,) * 2, gap_s=60.0))
    model = made(server.base_url, timeouts=Timeouts(60, 60, 60))
    async with asyncio.timeout(30):  # before the second half comes
        with pytest.raises(errors.BadCall, match="HTTP 400: xxx"):
            await model.complete(CALL)
    await model.close()


async def test_no_more_at_once_than_allowed(server: FaultServer) -> None:
    server.reset(Reply(200, answer("B").body, delay_s=0.02))
    model = made(server.base_url, max_concurrency=4)
    begun = time.monotonic()
    completions = await asyncio.gather(*(model.complete(CALL) for _ in range(80)))
    took = time.monotonic() - begun
    await model.close()
    assert (server.peak, server.served) == (4, 80)
    in_slots = sum(completion.seconds for completion in completions)
    assert in_slots < 8 * took  # four at a time; with the waits for a slot it would be about 40 times as long


async def test_a_call_that_backs_off_holds_no_slot(server: FaultServer) -> None:
    server.reset(Reply(503, headers={"Retry-After": "30"}), answer("B"))
    limiters = LimiterRegistry()
    model = made(server.base_url, max_concurrency=1, limiters=limiters, retry=RetryPolicy())
    patient = asyncio.create_task(model.complete(CALL))
    await until(lambda: limiters.activity.backing_off["ServerFault"] == 1)
    assert (limiters.activity.in_flight, limiters.activity.waiting) == (0, 0)
    assert (await model.complete(CALL)).text == "B"
    patient.cancel()
    await asyncio.wait([patient])
    assert limiters.activity.backing_off.total() == 0
    await model.close()


async def test_waiting_for_a_turn_uses_up_no_patience(server: FaultServer) -> None:
    server.reset(*(Reply(503, delay_s=0.05) for _ in range(20)), answer("B"))
    model = made(server.base_url, max_concurrency=1, retry=RetryPolicy(3, total_s=0.75, base_s=0.001, max_s=0.002))
    completions = await asyncio.gather(*(model.complete(CALL) for _ in range(20)))
    await model.close()
    # Each call's second turn comes when all others had their first, after 1 s.
    assert sorted(completion.attempts for completion in completions) == [2] * 20
    assert server.served == 40


async def test_a_stream_holds_its_slot_until_it_ends(server: FaultServer) -> None:
    server.reset(streamed(*PARIS, DONE))
    limiters = LimiterRegistry()
    model = made(server.base_url, limiters=limiters)
    async with aclosing(model.stream(CALL)) as deltas:
        await anext(deltas)
        assert limiters.activity.in_flight == 1
    assert limiters.activity.in_flight == 0
    await model.close()


async def test_a_journal_is_told_of_each_request_that_leaves(server: FaultServer) -> None:
    server.reset(fault(503, "no"), fault(401, "no"))
    model, sent = made(server.base_url), [0]

    def note() -> None:
        sent[0] += 1

    with notify_when_sent(note):
        for _ in range(3):
            with pytest.raises(errors.BadCredentials):
                await model.complete(CALL)
    await model.close()
    assert sent == [2]
    assert server.served == 2


async def test_many_calls_over_a_shaky_server_all_end_well(server: FaultServer) -> None:
    shaky = random.Random(1)
    faults = [
        Reply(503),
        Reply(reset=True),
        fault(429, "no", headers={"retry-after-ms": "2"}),
        Reply(body=b"{"),
    ]
    server.reset(*(shaky.choice([answer("B"), *faults]) if shaky.random() < 0.5 else answer("B") for _ in range(900)))
    model = made(server.base_url, retry=RetryPolicy(attempts=20, total_s=10, base_s=0.001, max_s=0.01))
    completions = await asyncio.gather(*(model.complete(CALL) for _ in range(500)))
    await model.close()
    assert {completion.text for completion in completions} == {"B"}
    assert sum(completion.attempts for completion in completions) == server.served


@pytest.mark.parametrize("reply", [Reply(delay_s=0.3), Reply(503, headers={"Retry-After": "3"})])
async def test_cancellation_passes_and_frees_the_slot(server: FaultServer, reply: Reply) -> None:
    server.reset(reply, answer("B"))
    model = made(server.base_url, max_concurrency=1)
    task = asyncio.create_task(model.complete(CALL))
    await asyncio.sleep(0.1)
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server.served == 1
    assert (await model.complete(CALL)).text == "B"
    await model.close()


async def test_a_caller_s_own_deadline_is_its_own(server: FaultServer, model: HttpModel) -> None:
    server.reset(Reply(delay_s=0.3))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await model.complete(CALL)


async def test_a_closed_model_opens_again(server: FaultServer, model: HttpModel) -> None:
    server.reset(answer("B"))
    await model.close()
    await model.complete(CALL)
    await model.close()
    await model.close()
    assert (await model.complete(CALL)).text == "B"


async def test_a_model_is_made_without_a_loop_and_travels(server: FaultServer) -> None:
    server.reset(answer("B"))
    model = await asyncio.to_thread(lambda: pickle.loads(pickle.dumps(made(server.base_url))))
    assert isinstance(model, ChatModel)
    for _ in range(2):  # as in a notebook: a loop a cell, and nobody lets go of the session between them
        assert await asyncio.to_thread(lambda: asyncio.run(once(model))) == "B"


async def once(model: ChatModel) -> str:
    completion = await model.complete(CALL)
    assert isinstance(model, HttpModel)
    await model.close()
    return completion.text
