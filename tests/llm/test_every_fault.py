"""Every fault that a provider can play, singly and mixed: the right class, number of tries and last words."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from html import escape
from json import dumps
from types import MappingProxyType
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.core import errors
from coe_ray.core.errors import CallError
from coe_ray.core.types import Call, Completion, Message
from coe_ray.llm.faults import MAX_BODY, FaultClassifier
from coe_ray.llm.http import MAX_KEPT, HttpModel
from coe_ray.llm.provider_key import MIN_CUT_KEY, ProviderKey
from coe_ray.llm.retry import RetryPolicy, Timeouts
from tests.support.fault_server import DONE, FaultServer, Reply, answer, event, fault, piece, speaking, streamed
from tests.support.model_under_test import CALL, KEY, LATE, LONG, PARIS, collect_stream, failure, made

pytestmark = pytest.mark.asyncio

PATIENT = RetryPolicy(total_s=60.0, base_s=0.001, max_s=0.002)
LIMITS = Timeouts(connect_s=5.0, first_byte_s=0.4, total_s=0.8)
SLOW_BYTES = Reply(pieces=(b" ",) * 30, gap_s=0.1)

FINAL: Mapping[str, tuple[Reply, type[CallError]]] = MappingProxyType(
    {
        "bad credentials": (fault(401, f"Incorrect API key provided: {KEY}"), errors.BadCredentials),
        "no such model": (fault(404, "The model does not exist"), errors.NoSuchModel),
        "context too long": (fault(400, LONG), errors.ContextTooLong),
        "content filter": (fault(400, "no", "content_filter"), errors.ContentFiltered),
        "quota used up": (fault(429, LATE, "insufficient_quota"), errors.QuotaUsedUp),
        "payment required": (fault(402, "no"), errors.QuotaUsedUp),
        "long cooldown": (fault(429, "Slow down", headers={"Retry-After": "3600"}), errors.LongCooldown),
        "bad call": (fault(400, "temperature must be at most 2"), errors.BadCall),
        "status of a broken error": (Reply(401, pieces=(b'{"err',), cut=True), errors.BadCredentials),
    }
)
PASSING: Mapping[str, tuple[Reply, type[CallError]]] = MappingProxyType(
    {
        "rate limit": (fault(429, "Slow down", headers={"retry-after-ms": "2"}), errors.RateLimited),
        "server error": (fault(500, "The server had an error"), errors.ServerFault),
        "overloaded": (fault(503, "Try later", headers={"Retry-After": "0"}), errors.ServerFault),
        "error in a 200": (Reply(body=b'{"error": {"message": "down", "code": 502}}'), errors.ServerFault),
        "first byte": (Reply(delay_s=30.0), errors.CallTimeout),
        "reset": (Reply(reset=True), errors.ConnectionFault),
        "not JSON": (Reply(body=b"<html>welcome</html>"), errors.MalformedReply),
        "no choices": (Reply(body=b'{"object": "chat.completion"}'), errors.MalformedReply),
        "truncated JSON": (Reply(body=b'{"choices": [{"message": '), errors.MalformedReply),
        "truncated body": (Reply(pieces=(b'{"choices": [', b'{"mess'), cut=True), errors.MalformedReply),
    }
)
SINGLY = {**FINAL, **PASSING}


def tries(kind: type[CallError]) -> int:
    """What the policy's own numbers come to for a fault that never passes."""
    if not kind.retryable:
        return 1
    return PATIENT.attempts if kind is errors.RateLimited else PATIENT.same_error


@pytest.mark.parametrize("name", SINGLY)
async def test_each_fault_singly(server: FaultServer, name: str) -> None:
    reply, kind = SINGLY[name]
    server.reset(reply)
    model = made(server.base_url, retry=PATIENT, timeouts=LIMITS)
    error = await failure(model)
    await model.close()
    assert (type(error), error.attempts, server.served) == (kind, tries(kind), tries(kind))
    assert error.body == (reply.body or b"".join(reply.pieces)).decode().replace(KEY, "***")


async def test_a_reply_that_takes_too_long_is_quoted_as_far_as_it_came(server: FaultServer) -> None:
    server.reset(SLOW_BYTES)
    model = made(server.base_url, retry=PATIENT, timeouts=LIMITS)
    error = await failure(model)
    await model.close()
    assert (type(error), error.attempts, server.served) == (errors.CallTimeout, PATIENT.same_error, PATIENT.same_error)
    assert error.body.startswith(" ")
    assert "(total)" in error.message


async def test_a_connection_that_is_never_made_says_nothing() -> None:
    async with speaking(None) as port:  # accepts, and never answers the TLS greeting
        model = made(f"https://127.0.0.1:{port}/v1", retry=PATIENT, timeouts=Timeouts(connect_s=0.05))
        error = await failure(model)
        await model.close()
    assert (type(error), error.attempts, error.body) == (errors.CallTimeout, PATIENT.same_error, "")


@pytest.mark.parametrize(
    ("reply", "text", "refusal"),
    [
        (answer("Half an ans", "content_filter"), "Half an ans", "content_filter"),
        (answer("", refusal="I cannot help."), "", "I cannot help."),
    ],
)
async def test_a_refusal_is_an_answer(
    server: FaultServer, model: HttpModel, reply: Reply, text: str, refusal: str
) -> None:
    server.reset(reply)
    completion = await model.complete(CALL)
    assert (completion.text, completion.refusal, completion.attempts, server.served) == (text, refusal, 1, 1)


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        (streamed(PARIS[0], cut=True), errors.MalformedReply),
        (streamed(PARIS[0]), errors.MalformedReply),
        (streamed(DONE), errors.MalformedReply),
        (streamed(PARIS[0], b'data: {"choi'), errors.MalformedReply),
        (streamed(event({"error": {"message": KEY, "type": "server_error"}})), errors.ServerFault),
        (streamed(*PARIS[:2], cut=True), errors.MalformedReply),
    ],
)
async def test_a_stream_that_breaks_is_quoted(server: FaultServer, events: Reply, kind: type[CallError]) -> None:
    server.reset(events)
    model = made(server.base_url, retry=PATIENT)
    with pytest.raises(kind) as caught:
        await collect_stream(model)
    await model.close()
    begun = 1 if b"Pa" in b"".join(events.pieces) else PATIENT.same_error
    assert (caught.value.attempts, server.served) == (begun, begun)
    assert caught.value.body == b"".join(events.pieces).decode().replace(KEY, "***")


@pytest.mark.parametrize("status", [200, 500])
async def test_a_long_reply_is_quoted_by_its_beginning(server: FaultServer, model: HttpModel, status: int) -> None:
    text = f"{'x' * 1990}{KEY}{'y' * 3 * MAX_KEPT}"
    server.reset(Reply(status, text.encode()))
    assert (await failure(model)).body == f"{'x' * 1990}***{'y' * 7}"


async def test_the_body_is_that_of_the_last_reply(server: FaultServer, model: HttpModel) -> None:
    server.reset(fault(503, "no"), Reply(body=b"first"), Reply(body=b"last"))
    assert (await failure(model)).body == "last"


SPELLINGS: tuple[Callable[[str], str], ...] = (str, quote, quote_plus, escape, dumps, lambda key: dumps(dumps(key)))
LETTERS = st.sampled_from('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./+=:~%&<>"@#$')


@given(
    key=st.text(LETTERS, min_size=8, max_size=200),
    spelled=st.sampled_from(SPELLINGS[:-1]),
    before=st.text(max_size=20),
    padding=st.integers(1950, 2050) | st.just(0),
    cut=st.integers(0, 300),
)
async def test_no_key_gets_into_a_body(
    key: str, spelled: Callable[[str], str], before: str, padding: int, cut: int
) -> None:
    echo = spelled(key)[: max(cut, MIN_CUT_KEY + 1)]
    received = f"{before}{key}{'·' * padding}{echo}".encode(errors="replace")
    error = FaultClassifier("a", ProviderKey(key), Timeouts()).attach_body(CallError("a", "no"), received)
    assert key not in error.body
    assert not error.body.endswith(echo)
    assert len(error.body) <= MAX_BODY


def mixture() -> dict[str, Reply]:
    """All that passes by itself, the slowest too."""
    return {name: reply for name, (reply, _) in PASSING.items()} | {"total": SLOW_BYTES}


def asked(number: int) -> Call:
    return Call((Message("user", f"Question {number}"),))


@pytest.mark.parametrize("seed", [1, 2])
async def test_all_that_passes_mixed_at_30_percent(server: FaultServer, seed: int) -> None:
    server.mixed(mixture(), share=0.3, seed=seed)
    model = made(server.base_url, retry=replace(PATIENT, attempts=3), timeouts=LIMITS)
    ends = await asyncio.gather(*(model.complete(asked(number)) for number in range(300)), return_exceptions=True)
    await model.close()
    answers = {number: end for number, end in enumerate(ends) if isinstance(end, Completion)}
    failed = [end for end in ends if isinstance(end, CallError)]
    assert len(answers) + len(failed) == 300
    assert all(completion.text == f"Question {number}" for number, completion in answers.items())
    assert {type(error) for error in failed} <= {kind for _, kind in PASSING.values()}
    assert all(error.attempts == 3 for error in failed)
    attempts = [completion.attempts for completion in answers.values()] + [error.attempts for error in failed]
    assert sum(attempts) == server.served == server.kinds.total()
    assert set(server.kinds) == {*mixture(), "answer"}


async def test_streams_mixed_at_30_percent(server: FaultServer) -> None:
    broken = {"truncated stream": streamed(piece(role="assistant"), cut=True), "late": streamed(*PARIS[:2])}
    server.mixed(mixture() | broken, share=0.3, seed=3)
    model = made(server.base_url, retry=PATIENT, timeouts=LIMITS)
    ends = await asyncio.gather(*(heard(model, asked(number)) for number in range(100)))
    await model.close()
    for number, (text, error) in enumerate(ends):
        assert error is not None or text == f"Question {number}"
        assert error is None or (text, type(error)) == ("Pa", errors.MalformedReply)  # all else passed in time
    assert server.kinds["late"] == sum(error is not None for _, error in ends) > 0


async def heard(model: HttpModel, call: Call) -> tuple[str, CallError | None]:
    """What a stream said, and how it broke off."""
    text = ""
    try:
        async for delta in model.stream(call):
            text += delta.text
    except CallError as error:
        return text, error
    return text, None
