"""Every fault has its class and its words, and no word gives the key away."""

import pickle

import orjson
import pytest

from coe_ray.core import errors
from coe_ray.core.errors import CallError
from coe_ray.core.types import Call, Message
from coe_ray.llm.faults import parse_error_body
from coe_ray.llm.http import MAX_KEPT, HttpModel
from coe_ray.llm.provider_key import ProviderKey
from coe_ray.llm.retry import Timeouts
from tests.support.fault_server import FaultServer, Reply, answer, fault, speaking
from tests.support.model_under_test import (
    CALL,
    FAULTS,
    KEY,
    LATE,
    LONG,
    TRIES,
    collect_stream,
    everything_shown,
    failure,
    made,
)

pytestmark = pytest.mark.asyncio

MODERATED = b"""{"error": {"code": 403, "message": "Your chosen model requires moderation and your input was flagged.
No credits were charged.", "metadata": {"reasons": ["violence"], "flagged_input": "kill the process"}}}""".replace(
    b"\n", b" "
)
BY_GUARDRAIL = b'{"error": {"code": 403, "message": "Blocked", "metadata": {"patterns": ["prompt-injection: key"]}}}'
IN_CODES = KEY.replace("/", "\\u002f").replace("+", "\\u002B").replace("=", "\\u003d").replace("6", "\\u0036")
PER_MINUTE = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": "RequestsPerMinute"}]}
RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "33s"}


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (fault(401, "Incorrect API key provided", "invalid_api_key"), errors.BadCredentials),
        (fault(403, "Country not supported"), errors.BadCredentials),
        (fault(403, "You have no permission to use this model"), errors.BadCredentials),
        (
            Reply(403, b'{"error": {"code": 403, "message": "no", "status": "PERMISSION_DENIED"}}'),
            errors.BadCredentials,
        ),
        (Reply(403, b'{"message": "Forbidden"}'), errors.BadCredentials),
        (Reply(403), errors.BadCredentials),
        (fault(403, "Your request was blocked; no credits were charged"), errors.BadCall),
        (Reply(403, MODERATED), errors.ContentFiltered),
        (Reply(403, BY_GUARDRAIL), errors.ContentFiltered),
        (Reply(body=MODERATED), errors.ContentFiltered),
        (fault(404, "The model does not exist", "model_not_found"), errors.NoSuchModel),
        (fault(402, "Payment required"), errors.QuotaUsedUp),
        (fault(429, LATE, "insufficient_quota"), errors.QuotaUsedUp),
        (fault(429, LATE), errors.QuotaUsedUp),
        (fault(403, "Your quota has been exhausted"), errors.QuotaUsedUp),
        (fault(429, "Insufficient Balance"), errors.QuotaUsedUp),
        (fault(429, "You have no credits left", headers={"Retry-After": "0"}), errors.QuotaUsedUp),
        (fault(402, "You have no credits left"), errors.QuotaUsedUp),
        (fault(429, LATE, headers={"Retry-After": "0"}), errors.RateLimited),
        (fault(429, f"{LATE} Please retry in 0s."), errors.RateLimited),
        (fault(403, "Quota exceeded for queries per minute"), errors.RateLimited),
        (fault(429, "Quota exceeded for requests per minute"), errors.RateLimited),
        (fault(429, "Slow down"), errors.RateLimited),
        (fault(400, LONG), errors.ContextTooLong),
        (fault(400, "no", "context_length_exceeded"), errors.ContextTooLong),
        (fault(413, LONG), errors.ContextTooLong),
        (fault(422, LONG), errors.ContextTooLong),
        (fault(400, "no", "content_filter"), errors.ContentFiltered),
        (fault(403, "no", "content_policy_violation"), errors.ContentFiltered),
        (fault(400, "temperature must be at most 2"), errors.BadCall),
        (fault(413, "Request Entity Too Large"), errors.BadCall),
        (fault(422, "no"), errors.BadCall),
        (fault(418, "teapot"), errors.BadCall),
        (Reply(307, headers={"Location": "/elsewhere"}), errors.BadCall),
        (fault(408, "no"), errors.ServerFault),
        (fault(409, "no"), errors.ServerFault),
        (fault(500, "no"), errors.ServerFault),
        (fault(503, LATE), errors.ServerFault),
        (Reply(529), errors.ServerFault),
        (Reply(reset=True), errors.ConnectionFault),
        (Reply(body=b"<html>welcome</html>"), errors.MalformedReply),
        (Reply(body=b""), errors.MalformedReply),
        (Reply(204), errors.MalformedReply),
        (Reply(body=b"[1]"), errors.MalformedReply),
        (Reply(body=b"{}"), errors.MalformedReply),
        (Reply(body=b'{"choices": []}'), errors.MalformedReply),
        (Reply(body=b'{"choices": [{}]}'), errors.MalformedReply),
        (Reply(body=b'{"choices": [{"message": '), errors.MalformedReply),
        (Reply(body=b"not gzip", headers={"Content-Encoding": "gzip"}), errors.MalformedReply),
        (Reply(pieces=(b'{"choi',), cut=True), errors.MalformedReply),
        (Reply(401, pieces=(b'{"err',), cut=True), errors.BadCredentials),
        (Reply(body=b'{"error": {"message": "Upstream is down", "code": 502}}'), errors.ServerFault),
        (Reply(body=b'{"choices": [{"error": {"message": "no", "code": "429"}}]}'), errors.RateLimited),
    ],
)
async def test_every_fault_has_its_class_and_its_number_of_tries(
    server: FaultServer, model: HttpModel, reply: Reply, kind: type[CallError]
) -> None:
    server.reset(reply)
    error = await failure(model)
    tries = TRIES if kind.retryable else 1
    assert (type(error), error.attempts, server.served) == (kind, tries, tries)
    assert error.model == "expert-a"
    assert error.status in (None, reply.status, 502, 429, 403)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [(b"SSH-2.0-OpenSSH_9.6\r\n", errors.MalformedReply), (b"", errors.ConnectionFault)],
)
async def test_a_server_that_does_not_speak_http(raw: bytes, kind: type[CallError]) -> None:
    async with speaking(raw) as port:
        model = made(f"http://127.0.0.1:{port}/v1")
        error = await failure(model)
        await model.close()
    assert (type(error), error.attempts) == (kind, TRIES)


async def test_nobody_listens_and_no_such_host() -> None:
    async with speaking(b"") as port:
        pass
    for url in (f"http://127.0.0.1:{port}/v1", "http://no-such-host.invalid/v1"):
        model = made(url)
        error = await failure(model)
        await model.close()
        assert (type(error), error.attempts) == (errors.ConnectionFault, TRIES)


@pytest.mark.parametrize(
    "url", ["", "api.example.com/v1", "ftp://example.com/v1", "http://[/v1", "http://me:hunter2@host:99999/v1"]
)
async def test_an_address_that_is_none_is_not_tried_again(url: str) -> None:
    model = made(url)
    error = await failure(model)
    await model.close()
    assert (type(error), error.attempts) == (errors.BadCall, 1)
    assert "base_url" in str(error)
    assert "hunter2" not in everything_shown(error)


async def test_what_json_cannot_hold_is_a_bad_call(server: FaultServer, model: HttpModel) -> None:
    with pytest.raises(errors.BadCall, match="JSON") as caught:
        await model.complete(Call((Message("user", "\ud800"),)))
    assert caught.value.attempts == server.served == 0


async def test_timeouts_say_which(server: FaultServer) -> None:
    async with speaking(None) as port:  # accepts, and never answers the TLS greeting
        connect = made(f"https://127.0.0.1:{port}/v1", timeouts=Timeouts(0.05, 5, 5))
        assert "not connected within 0.05 s (connect)" in await timed_out(connect)
    server.reset(Reply(delay_s=0.5))
    first_byte = made(server.base_url, timeouts=Timeouts(5, 0.05, 5))  # of a stream: a whole answer comes at once
    with pytest.raises(errors.CallTimeout, match=r"0\.05 s \(first byte\)") as caught:
        await collect_stream(first_byte)
    await first_byte.close()
    assert caught.value.attempts == TRIES
    server.reset(Reply(pieces=(b" ",) * 20, gap_s=0.03))
    total = made(server.base_url, timeouts=Timeouts(5, 5, 0.1))
    assert "0.1 s (total)" in await timed_out(total)


async def timed_out(model: HttpModel) -> str:
    error = await failure(model)
    await model.close()
    assert (type(error), error.attempts) == (errors.CallTimeout, TRIES)
    return str(error)


@pytest.mark.parametrize(
    ("message", "details", "headers", "kind", "wait"),
    [
        (LATE, [], {}, errors.QuotaUsedUp, None),
        (LATE, [PER_MINUTE], {}, errors.RateLimited, None),
        (LATE, [PER_MINUTE, RETRY_INFO], {}, errors.RateLimited, 33.0),
        (LATE, [RETRY_INFO], {"Retry-After": "7"}, errors.RateLimited, 7.0),
        (f"{LATE} Please retry in 33.4s.", [], {}, errors.RateLimited, 33.4),
        (f"{LATE} Please retry in 1h2m3.5s.", [], {}, errors.RateLimited, 3723.5),
        (f"{LATE} Please retry in 500ms.", [], {}, errors.RateLimited, 0.5),
        (f"{LATE} Please retry in 2 minutes.", [], {}, errors.RateLimited, 120.0),
        (f"{LATE} Please retry in 9 lives.", [], {}, errors.RateLimited, None),
        ("Slow down, and retry in 5 s", [], {}, errors.RateLimited, 5.0),
    ],
)
async def test_a_quota_that_comes_back_soon_is_a_rate(
    message: str, details: list[object], headers: dict[str, str], kind: type[CallError], wait: float | None
) -> None:
    error_object = {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": details}
    error = FAULTS.from_status(429, headers, orjson.dumps([{"error": error_object}]))
    assert (type(error), error.retry_after) == (kind, wait)
    if not headers:
        assert type(FAULTS.from_error_object(error_object)) is kind


@pytest.mark.timeout(60)
@pytest.mark.parametrize("body", [b"\\" * MAX_KEPT, b"!" * MAX_KEPT, b"9" * MAX_KEPT, b"retry in " + b"9s" * MAX_KEPT])
async def test_words_that_match_nothing_are_soon_looked_through(body: bytes) -> None:
    error = FAULTS.attach_body(FAULTS.from_status(403, {}, body), body)
    assert isinstance(error, errors.BadCall | errors.BadCredentials)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"plain", "plain"),
        (b'{"error": "text"}', "text"),
        (b'{"object": "error", "message": "vllm", "code": 400}', "vllm"),
        (b'[{"error": {"message": "gemini"}}]', "gemini"),
        (b'{"detail": "fastapi"}', "fastapi"),
        (b'{"other": 1}', '{"other":1}'),
        (b'[[{"message": "too far down"}]]', '[{"message":"too far down"}]'),
        (b'{"message": ' + b"[" * 300 + b"]" * 300 + b"}", "(too deeply nested to be shown)"),
        (b"[]", "[]"),
        (b"", ""),
    ],
)
async def test_what_a_provider_says_is_found_in_its_form(body: bytes, message: str) -> None:
    assert parse_error_body(body).message == message


async def test_the_provider_s_words_are_quoted_short(server: FaultServer, model: HttpModel) -> None:
    server.reset(fault(400, "Bad\n temperature " + "x" * 1000))
    message = (await failure(model)).message
    assert message.startswith("HTTP 400: Bad temperature xxx")
    assert len(message) == len("HTTP 400: ") + 300


@pytest.mark.parametrize(
    "body",
    [
        f"Bearer {KEY}".encode(),
        orjson.dumps({"error": {"message": f"Key {KEY} is wrong", "code": KEY}}),
        orjson.dumps({"error": KEY}),
        orjson.dumps({"detail": [{"input": KEY}]}),
        b'{"x": "' + KEY.replace("/", "\\/").encode() + b'"',
        b'{"message": "' + IN_CODES.encode() + b'"}',
        b'{"x": "' + IN_CODES.replace("\\", "\\\\").encode() + b'"',
        b"GET /?key=sk-proj%2Fvery%2Bsecret%3D0123456789",
        b"y" * 290 + KEY.encode(),
    ],
)
@pytest.mark.parametrize("status", [200, 401, 400, 500])
async def test_no_echo_of_the_key_gets_out(server: FaultServer, model: HttpModel, body: bytes, status: int) -> None:
    server.reset(Reply(status, body))
    error = await failure(model)
    assert "0123456789" not in everything_shown(error)
    assert "sk-proj" not in everything_shown(error)
    assert "0123456789" not in repr(pickle.loads(pickle.dumps(error)))


async def test_a_reply_that_is_not_http_does_not_show_the_request() -> None:
    async with speaking(b"junk " + KEY.encode() + b"\r\n\r\n") as port:
        model = made(f"http://127.0.0.1:{port}/v1")
        error = await failure(model)
        await model.close()
    assert error.__context__ is None
    assert error.__cause__ is None


@pytest.mark.parametrize("reply", [fault(401, "no"), Reply(reset=True), Reply(body=b"{"), Reply(delay_s=0.2)])
async def test_tracebacks_that_print_variables_show_no_key(server: FaultServer, reply: Reply) -> None:
    server.reset(reply)
    model = made(server.base_url, timeouts=Timeouts(5, 0.1, 5))
    error = await failure(model)
    await model.close()
    assert KEY not in everything_shown(error, with_locals=True)
    assert "self = HttpModel" in everything_shown(error, with_locals=True)


async def test_a_model_shows_no_key(server: FaultServer, model: HttpModel) -> None:
    server.reset(answer("B"))
    await model.complete(CALL)
    assert "expert-a" in repr(model)
    assert "hunter2" not in repr(made("http://user:hunter2@host/v1?key=hunter2"))
    assert KEY not in repr(vars(model))
    assert repr(ProviderKey(None)) == "ProviderKey(none)"
