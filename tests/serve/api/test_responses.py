"""Request bodies as they are read: compressed ones count by what they become."""

import gzip
import json
import zlib

import httpx
import pytest

from coe_ray.serve.api.responses import MAX_BODY
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
