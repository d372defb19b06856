"""Bodies in, compressed ones by what they become; errors out, each with the status that says whose fault it is."""

import gzip
import json
import zlib

import httpx
import orjson
import pytest
from starlette.requests import Request

from coe_ray.core.errors import (
    BadCall,
    BadCredentials,
    CallTimeout,
    CannotAnswer,
    CoeError,
    ConfigError,
    ConnectionFault,
    ContentFiltered,
    ContextTooLong,
    MalformedReply,
    NoSuchModel,
    QuotaUsedUp,
    RateLimited,
    ServerFault,
)
from coe_ray.core.types import Attempt
from coe_ray.serve.api.http import ERROR_HANDLERS, MAX_BODY
from coe_ray.serve.telemetry.request_record import RequestRecord, set_current_record
from tests.support.chat_client import CHAT, error_of, user

QUESTION = json.dumps({"model": "remote", "messages": user("say compressed")}).encode()


def post(http: httpx.Client, body: bytes, encoding: str) -> httpx.Response:
    headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
    return http.post(CHAT, content=body, headers=headers)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZip"])
def test_a_gzip_body_is_read(http: httpx.Client, encoding: str) -> None:
    response = post(http, gzip.compress(QUESTION), encoding)
    assert response.status_code == 200
    assert response.json()["choices"][0]["message"]["content"] == "say compressed"


def test_identity_is_a_body_as_it_is(http: httpx.Client) -> None:
    assert post(http, QUESTION, "identity").status_code == 200


def test_a_bomb_is_refused_by_what_it_would_become(http: httpx.Client) -> None:
    bomb = gzip.compress(b" " * (64 << 20))
    assert len(bomb) < MAX_BODY
    response = post(http, bomb, "gzip")
    assert response.status_code == 413
    assert error_of(response)["code"] == "request_too_large"


def test_the_bound_is_that_of_plain_bodies(http: httpx.Client) -> None:
    padded = QUESTION + b" " * (MAX_BODY - len(QUESTION))
    assert post(http, gzip.compress(padded), "gzip").status_code == 200
    assert post(http, gzip.compress(padded + b" "), "gzip").status_code == 413


@pytest.mark.parametrize(
    "body",
    [QUESTION, gzip.compress(QUESTION)[:-9], gzip.compress(QUESTION) + b"more", zlib.compress(QUESTION), b""],
    ids=["plain", "cut off", "goes on", "zlib", "empty"],
)
def test_broken_gzip_is_a_400(http: httpx.Client, body: bytes) -> None:
    response = post(http, body, "gzip")
    assert response.status_code == 400
    assert error_of(response)["code"] == "invalid_content_encoding"


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip"])
def test_other_encodings_are_415_and_say_which_is_read(http: httpx.Client, encoding: str) -> None:
    response = post(http, QUESTION, encoding)
    assert response.status_code == 415
    assert response.headers["accept-encoding"] == "gzip"
    assert "gzip" in error_of(response)["message"]


TRIED = (Attempt("alpha", "ServerFault", "down", 0.1), Attempt("beta", "ServerFault", "down", 0.1))


async def answered(error: CoeError) -> tuple[int, str, str | None, str | None]:
    """Status, code, and the headers `x-should-retry` and `retry-after`."""
    with set_current_record(RequestRecord("an id", "POST")):
        response = await ERROR_HANDLERS[CoeError](Request({"type": "http"}), error)
    body = orjson.loads(response.body)["error"]
    assert body["message"] == str(error)
    assert body["type"] == ("server_error" if response.status_code >= 500 else "invalid_request_error")
    return (
        response.status_code,
        body["code"],
        response.headers.get("x-should-retry"),
        response.headers.get("retry-after"),
    )


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_what_a_provider_refuses_is_the_clients_to_mend(status: int) -> None:
    assert await answered(BadCall("m", "no such field", status=status)) == (status, "invalid_value", "false", None)


async def test_a_question_that_is_too_long_or_filtered_is_the_clients_too() -> None:
    assert await answered(ContextTooLong("m", "long", status=422)) == (400, "context_length_exceeded", "false", None)
    assert await answered(ContentFiltered("m", "no", status=403)) == (400, "content_filter", "false", None)


@pytest.mark.parametrize(
    "error",
    [
        BadCredentials("m", "wrong key", status=401),
        BadCall("m", "not allowed", status=403),
        NoSuchModel("m", "no model", status=404),
        QuotaUsedUp("m", "no credit", status=402),
        CannotAnswer("m", "no series in the question"),
        BadCall("m", "base_url is not an HTTP address"),
    ],
)
async def test_our_own_misconfiguration_is_a_bad_gateway_and_in_vain(error: CoeError) -> None:
    assert await answered(error) == (502, type(error).__name__, "false", None)


@pytest.mark.parametrize("kind", [ServerFault, CallTimeout, ConnectionFault, MalformedReply])
async def test_a_client_may_try_again_what_was_tried_once(kind: type[ServerFault]) -> None:
    name = kind.__name__
    assert await answered(kind("m", "down", status=500)) == (502, name, None, None)
    assert await answered(kind("m", "down", status=500, attempts=2)) == (502, name, "false", None)
    assert await answered(kind("m", "down", status=500, tried=TRIED)) == (502, name, "false", None)
    assert await answered(kind("m", "down", status=500, tried=TRIED[:1])) == (502, name, None, None)


@pytest.mark.parametrize(
    ("wait", "header"), [(None, "1"), (0.0, "1"), (0.2, "1"), (7.0, "7"), (7.1, "8"), (1e300, "86400")]
)
async def test_a_providers_limit_and_our_own_queue_are_told_apart(wait: float | None, header: str) -> None:
    limited = RateLimited("m", "slow down", status=429, retry_after=wait)
    assert await answered(limited) == (429, "RateLimited", None, header)
    full = RateLimited("m", "as many calls as its provider takes are under way", retry_after=wait, attempts=0)
    assert await answered(full) == (503, "RateLimited", None, header)


async def test_past_the_requests_own_deadline_it_is_a_gateway_timeout() -> None:
    assert await answered(CallTimeout("coe", "no answer within 1 s")) == (504, "CallTimeout", None, None)


async def test_what_no_client_can_help_is_an_internal_error() -> None:
    assert (await answered(ConfigError("profile 'p': no leaderboard")))[:2] == (500, "ConfigError")
