"""`/v1/embeddings` as OpenAI's client uses it, by the shipped encoder."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import orjson
import pytest
from openai import OpenAI

from coe_ray.core.errors import ConfigError
from coe_ray.profile.profile import load_profile
from coe_ray.serve.api.embeddings import MAX_TEXTS, read_embeddings_request
from coe_ray.serve.api.openai import RequestError
from tests.serve.world import write_profile
from tests.support.chat_client import error_of
from tests.support.endpoint import TestEndpoint, load_encoder, make_endpoint, serve_app
from tests.support.profiles import ENCODER

EMBEDDINGS = "/v1/embeddings"
TEXTS = ["a pod restarts", "磁盘已满", "a pod restarts again and again " * 200]


def named(world: Path, name: str | None) -> Path:
    retrieval = {"encoder": ENCODER, "index": "index", "embeddings": name}
    return write_profile(world.parent / f"embeddings-{name}.yaml", "http://127.0.0.1:9/v1", retrieval=retrieval)


@pytest.fixture(scope="module")
def endpoint(world: Path) -> TestEndpoint:
    return make_endpoint(named(world, "minilm"))


@pytest.fixture(scope="module")
def api(endpoint: TestEndpoint) -> Iterator[OpenAI]:
    with serve_app(endpoint.app) as url, OpenAI(base_url=f"{url}/v1", api_key="-", max_retries=0) as api:
        yield api


def encoded(texts: list[str]) -> Any:
    return load_encoder(str(ENCODER["hub"])).encode(texts)


def test_texts_get_the_encoders_vectors_in_their_order(api: OpenAI, endpoint: TestEndpoint) -> None:
    """The client asks for base64 by itself and decodes it."""
    response = api.embeddings.create(model="minilm", input=TEXTS)
    assert np.allclose([each.embedding for each in response.data], encoded(TEXTS), atol=1e-6)
    assert [each.index for each in response.data] == [0, 1, 2]
    assert response.model == "minilm"
    record = endpoint.records[-1]
    assert (record.kind, record.model, record.status, record.path) == ("embeddings", "minilm", 200, EMBEDDINGS)


def test_usage_counts_what_the_encoder_reads(api: OpenAI) -> None:
    short = api.embeddings.create(model="minilm", input=TEXTS[0]).usage
    assert short.prompt_tokens == short.total_tokens == len(["[CLS]", "a", "pod", "restart", "##s", "[SEP]"])
    assert api.embeddings.create(model="minilm", input=TEXTS[2]).usage.prompt_tokens == 256


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_both_encodings(api: OpenAI, encoding: str) -> None:
    body = {"model": "minilm", "input": TEXTS[0], "encoding_format": encoding, "dimensions": 384}
    (item,) = httpx.post(f"{api.base_url}embeddings", json=body).json()["data"]
    vector = item["embedding"]
    if encoding == "base64":
        vector = np.frombuffer(base64.b64decode(vector), "<f4")
    assert np.allclose(vector, encoded(TEXTS[:1])[0], atol=1e-6)


def test_more_texts_than_a_batch(api: OpenAI) -> None:
    texts = [f"node {number} is down" for number in range(30)]
    response = api.embeddings.create(model="minilm", input=texts)
    assert np.allclose([each.embedding for each in response.data], encoded(texts), atol=1e-6)


def test_other_dimensions_are_refused(api: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="384") as caught:
        api.embeddings.create(model="minilm", input="x", dimensions=256)
    assert caught.value.param == "dimensions"


def test_without_a_name_the_answer_says_which_key_to_set(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match=r"retrieval\.embeddings") as caught:
        client.embeddings.create(model="minilm", input="x")
    assert caught.value.code == "model_not_found"


def test_another_model_is_404_and_the_right_one_is_listed(api: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="there are: minilm"):
        api.embeddings.create(model="text-embedding-3-small", input="x")
    assert "minilm" in [model.id for model in api.models.list()]
    assert api.models.retrieve("minilm").id == "minilm"
    with pytest.raises(openai.NotFoundError):
        api.chat.completions.create(model="minilm", messages=[{"role": "user", "content": "x"}])


@pytest.mark.parametrize("texts", ["", [], [""], [1, 2], [[1]], 5, None, ["x"] * (MAX_TEXTS + 1), [None]])
def test_what_is_no_text_is_refused(texts: Any) -> None:
    with pytest.raises(RequestError) as caught:
        read_embeddings_request(orjson.dumps({"model": "minilm", "input": texts}))
    assert caught.value.status == 400
    assert caught.value.param is not None
    assert caught.value.param.startswith("input")


def test_every_wrong_field_is_named(http: httpx.Client) -> None:
    body = {"input": [1], "encoding_format": "hex", "dimensions": 0, "truncate": "END"}
    message = error_of(http.post(EMBEDDINGS, json=body))["message"]
    assert all(f"{name}: " in message for name in ("model", *body))


def test_a_name_that_is_taken_is_refused(world: Path) -> None:
    with pytest.raises(ConfigError, match=r"retrieval\.embeddings"):
        load_profile(named(world, "captain"))
