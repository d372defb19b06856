"""Streams: whole, of other makes, broken before their first text and after it."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import aiohttp
import orjson
import pytest

from coe_ray.core import errors
from coe_ray.core.errors import CallError
from coe_ray.core.types import Delta, Usage
from coe_ray.llm.http import HttpModel
from coe_ray.llm.replies import StreamReader
from coe_ray.llm.retry import Timeouts
from tests.support.fault_server import (
    DONE,
    USAGE,
    FaultServer,
    Reply,
    answer,
    event,
    fault,
    in_bytes,
    piece,
    streamed,
)
from tests.support.model_under_test import (
    CALL,
    FAULTS,
    KEY,
    LATE,
    LONG,
    PARIS,
    TRIES,
    collect_stream,
    everything_shown,
    made,
)

pytestmark = pytest.mark.asyncio

USAGE_EVENT = {"usage": {"prompt_tokens": 7, "completion_tokens": 3}}


def passed_on(event: bytes, text: str = "") -> Delta:
    """The delta of one event: its text, and the event as it came."""
    return Delta(text, event=orjson.loads(event.removeprefix(b"data:")))


def texts_of(deltas: list[Delta]) -> list[Delta]:
    """The deltas that say something, without their events."""
    return [replace(delta, event=None) for delta in deltas if delta.text or delta.finish_reason]


async def test_a_stream_gives_its_text_then_reason_and_usage(server: FaultServer, model: HttpModel) -> None:
    server.reset(streamed(b": ping\n\n", *PARIS, USAGE, DONE))
    role, pa, ris, stop = PARIS
    assert await collect_stream(model) == [
        *(passed_on(role), passed_on(pa, "Pa"), passed_on(ris, "ris"), passed_on(stop)),
        Delta("", "stop", Usage(7, 3), USAGE_EVENT),
    ]
    assert server.bodies[0]["stream"] is True
    assert server.bodies[0]["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
async def test_a_stream_may_be_cut_anywhere(size: int, end: bytes) -> None:
    events = [piece(content="答案"), piece(content=" é"), piece("length"), USAGE, DONE]
    reader = StreamReader(FAULTS)
    chunks = in_bytes([part.replace(b"\n", end) for part in events], size)
    deltas = [delta for chunk in chunks for delta in reader.feed(chunk)] + list(reader.finish())
    assert deltas == [
        *(passed_on(events[0], "答案"), passed_on(events[1], " é"), passed_on(events[2])),
        Delta("", "length", Usage(7, 3), USAGE_EVENT),
    ]


@pytest.mark.parametrize(
    ("events", "deltas"),
    [
        (PARIS, [Delta("Pa"), Delta("ris"), Delta("", "stop")]),
        ((*PARIS[:3], DONE), [Delta("Pa"), Delta("ris"), Delta("", "stop")]),
        ((piece("stop"), DONE), [Delta("", "stop")]),
        ((piece(reasoning_content="hm"), piece("stop", content="B")), [Delta("B"), Delta("", "stop")]),
        ((piece(refusal="No."), piece("stop"), DONE), [Delta("No."), Delta("", "content_filter")]),
        ((b"data:" + piece("stop", content="B")[6:-2],), [Delta("B"), Delta("", "stop")]),
        ((piece(content=f"It is {KEY}"), piece("stop")), [Delta("It is ***"), Delta("", "stop")]),
    ],
)
async def test_streams_of_other_makes(
    server: FaultServer, model: HttpModel, events: tuple[bytes, ...], deltas: list[Delta]
) -> None:
    server.reset(streamed(*events))
    heard = await collect_stream(model)
    assert texts_of(heard) == deltas
    payloads = [orjson.loads(each[5:].replace(KEY.encode(), b"***")) for each in events if each != DONE]
    assert [delta.event for delta in heard[:-1]] == payloads


@pytest.mark.parametrize(
    ("reply", "deltas"),
    [
        (answer("B"), [Delta("B"), Delta("", "stop", Usage(7, 3))]),
        (answer(""), [Delta("", "stop", Usage(7, 3))]),
        (answer(None, refusal="No."), [Delta("No."), Delta("", "content_filter", Usage(7, 3))]),
    ],
)
async def test_an_endpoint_that_does_not_stream_is_heard_all_the_same(
    server: FaultServer, model: HttpModel, reply: Reply, deltas: list[Delta]
) -> None:
    server.reset(replace(reply, headers={"Content-Type": "application/json; charset=utf-8"}))
    assert await collect_stream(model) == deltas


@pytest.mark.parametrize(
    "bad",
    [
        fault(503, "no"),
        Reply(reset=True),
        streamed(PARIS[0], cut=True),
        streamed(PARIS[0]),
        streamed(DONE),
        streamed(PARIS[0], event({"error": {"message": "no", "type": "server_error"}})),
        streamed(PARIS[0], b"data: {\n\n"),
    ],
)
async def test_a_stream_is_tried_again_before_its_first_text(server: FaultServer, model: HttpModel, bad: Reply) -> None:
    server.reset(bad, streamed(*PARIS, DONE))
    assert "".join(delta.text for delta in await collect_stream(model)) == "Paris"
    assert server.served == 2


@pytest.mark.parametrize(
    ("tail", "kind"),
    [
        (streamed(), errors.MalformedReply),
        (streamed(cut=True), errors.MalformedReply),
        (streamed(b"data: {\n\n"), errors.MalformedReply),
        (streamed(event({"error": {"message": "no", "code": 503}})), errors.ServerFault),
        (streamed(event({"error": {"message": "no", "type": "overloaded_error"}})), errors.ServerFault),
        (streamed(event({"error": "out of memory"})), errors.ServerFault),
        (streamed(event({"error": {"message": "no", "code": "rate_limit_exceeded"}})), errors.RateLimited),
        (streamed(event({"error": {"message": LATE, "code": "insufficient_quota"}})), errors.QuotaUsedUp),
        (streamed(event({"error": {"message": LONG, "type": "BadRequestError"}})), errors.ContextTooLong),
        (streamed(event({"error": {"message": "no", "code": "content_filter"}})), errors.ContentFiltered),
        (streamed(event({"error": {"message": "no", "type": "not_found_error"}})), errors.NoSuchModel),
        (streamed(event({"error": {"message": KEY, "code": "invalid_api_key"}})), errors.BadCredentials),
    ],
)
async def test_a_stream_that_fails_after_text_went_out_is_not_tried_again(
    server: FaultServer, model: HttpModel, tail: Reply, kind: type[CallError]
) -> None:
    server.reset(fault(503, "no"), streamed(*PARIS[:2], *tail.pieces, cut=tail.cut))
    deltas: list[Delta] = []
    with pytest.raises(CallError) as caught:
        async for delta in model.stream(CALL):
            deltas.append(delta)
    assert deltas[:2] == [passed_on(PARIS[0]), passed_on(PARIS[1], "Pa")]
    assert not any(delta.text for delta in deltas[2:])
    assert (type(caught.value), caught.value.attempts, server.served) == (kind, 2, 2)
    assert KEY not in everything_shown(caught.value)


@pytest.mark.parametrize(
    "said_first", [{"reasoning_content": "hm"}, {"reasoning": "hm"}, {"tool_calls": [{"index": 0, "id": "1"}]}], ids=str
)
async def test_reasoning_and_tool_calls_are_part_of_an_answer_which_is_not_begun_again(
    server: FaultServer, model: HttpModel, said_first: dict[str, Any]
) -> None:
    begun = piece(**said_first)
    server.reset(streamed(begun, b"data: {\n\n"), streamed(*PARIS, DONE))
    deltas: list[Delta] = []
    with pytest.raises(errors.MalformedReply):
        async for delta in model.stream(CALL):
            deltas.append(delta)
    assert (deltas, server.served) == ([passed_on(begun)], 1)


async def test_a_stream_gives_up_like_a_call(server: FaultServer, model: HttpModel) -> None:
    server.reset(fault(503, "no"))
    with pytest.raises(errors.ServerFault) as caught:
        await collect_stream(model)
    assert (caught.value.attempts, server.served) == (TRIES, TRIES)


async def test_a_stream_s_text_arrives_before_its_end(server: FaultServer, model: HttpModel) -> None:
    server.reset(streamed(piece(content="Pa"), piece("stop"), DONE, gap_s=60.0))
    async with asyncio.timeout(30), aclosing(model.stream(CALL)) as deltas:  # before the second piece is sent
        assert await anext(deltas) == passed_on(piece(content="Pa"), "Pa")


async def test_a_stalled_stream_times_out(server: FaultServer) -> None:
    server.reset(streamed(*PARIS, DONE, gap_s=0.3))
    model = made(server.base_url, timeouts=Timeouts(5, 0.15, 5))
    with pytest.raises(errors.CallTimeout, match="first byte"):
        await collect_stream(model)
    await model.close()


@pytest.mark.parametrize(("total_s", "silence_s"), [(300.0, 120.0), (30.0, 30.0)])
async def test_a_stream_is_bounded_between_its_bytes_and_not_in_all(total_s: float, silence_s: float) -> None:
    assert Timeouts(10.0, 120.0, total_s).of_stream == aiohttp.ClientTimeout(connect=10.0, sock_read=silence_s)
    assert Timeouts(10.0, 120.0, total_s).of_whole == aiohttp.ClientTimeout(total=total_s, connect=10.0)


async def test_a_stream_left_or_cancelled_frees_its_slot(server: FaultServer) -> None:
    server.reset(streamed(*PARIS, DONE, gap_s=0.05))
    model = made(server.base_url, max_concurrency=1)
    async with aclosing(model.stream(CALL)) as deltas:
        await anext(deltas)
    task = asyncio.create_task(collect_stream(model))
    await asyncio.sleep(0.12)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await collect_stream(model))[-1] == Delta("", "stop")
    await model.close()
