"""Models behind Serve handles, as a client of the endpoint meets them. A toy stands in for vLLM's deployment."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import yaml
from openai import OpenAI

from coe_ray.core.types import Call, Message
from tests.serve.toys import PIECES
from tests.support.cluster import Cluster

CALL = Call((Message("user", "hang"),))


def _profile(folder: Path) -> Path:
    content = {
        "tasks": [{"name": "Play", "description": "toys"}],
        "models": {"toy": {"kind": "vllm", "weights": {"hub": "nobody/toy"}}},
        "experts": {
            "builder": {"model": "toy", "prompt": "direct", "constrained": True, "settings": {"max_tokens": 4}},
            "racer": {"model": "toy"},
        },
        "classifier": {"model": "toy", "k": 0},
        "retrieval": {"encoder": {"hub": "nobody/encoder"}},
        "access": {"keys": False},
    }
    path = folder / "toys.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("toys")


@pytest.fixture(scope="module")
def toys(serve_cluster: Cluster, folder: Path) -> Iterator[OpenAI]:
    with (
        serve_cluster.serving(_profile(folder), "tests.serve.toys:build", "toys", "/toys") as url,
        OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as client,
    ):
        yield client


def _ask(client: OpenAI, text: str, model: str = "racer", **settings: Any) -> Any:
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}], **settings)


def test_answer(toys: OpenAI) -> None:
    completion = _ask(toys, "Hello.")
    assert completion.choices[0].message.content == "Hello."
    assert completion.usage.total_tokens == 3


def test_stream(toys: OpenAI) -> None:
    *texts, last = _ask(toys, "Hello.", stream=True)
    assert [chunk.choices[0].delta.content for chunk in texts] == list(PIECES)
    assert last.choices[0].finish_reason == "stop"
    assert last.usage.completion_tokens == 3


def test_engine_gets_model_settings_and_choices(toys: OpenAI) -> None:
    body = json.loads(_ask(toys, "body", seed=3, temperature=0.5).choices[0].message.content)
    assert body == {
        "model": "toy",
        "messages": [{"role": "user", "content": "body"}],
        "temperature": 0.5,
        "seed": 3,
    }


def test_unrouted_without_a_leaderboard(toys: OpenAI) -> None:
    with pytest.raises(openai.InternalServerError, match="cannot route; name an expert: ") as error:
        _ask(toys, "Hello.", "coe")
    assert (error.value.status_code, error.value.code) == (503, "no_leaderboard")
    response = httpx.get(f"{toys.base_url}leaderboard")
    assert response.status_code == 404
    assert "no leaderboard yet" in response.json()["error"]["message"]


@pytest.mark.parametrize("streamed", [False, True])
def test_failing_engine_is_named(toys: OpenAI, *, streamed: bool) -> None:
    with pytest.raises(openai.InternalServerError, match=r"'toy'.*the engine is dead.*'racer'") as caught:
        _ask(toys, "crash", stream=streamed)
    assert caught.value.status_code == 502
    assert caught.value.code == "ServerFault"


def test_engine_that_fails_in_the_middle_of_a_stream(toys: OpenAI) -> None:
    text = ""
    with pytest.raises(openai.APIError, match=r"'toy'.*the engine is dead"):
        for chunk in _ask(toys, "break", stream=True):
            text += chunk.choices[0].delta.content
    assert text == "".join(PIECES)


@pytest.mark.parametrize("streamed", [False, True])
def test_prompt_over_the_context(toys: OpenAI, *, streamed: bool) -> None:
    with pytest.raises(openai.BadRequestError, match="4096 tokens") as caught:
        _ask(toys, "too long", stream=streamed)
    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize("question", ["hang", "trickle"])
def test_client_that_leaves_stops_the_engines_work(toys: OpenAI, folder: Path, question: str) -> None:
    begun, left = folder / "begun", folder / "left"
    begun.unlink(missing_ok=True)
    left.unlink(missing_ok=True)
    body = {"model": "racer", "messages": [{"role": "user", "content": question}], "stream": question == "trickle"}
    url = f"{toys.base_url}chat/completions"
    with httpx.Client(timeout=httpx.Timeout(10, read=1)) as leaving:
        if question == "hang":
            with pytest.raises(httpx.ReadTimeout):
                leaving.post(url, json=body)
        else:
            with leaving.stream("POST", url, json=body) as response:
                assert PIECES[0].strip() in next(response.iter_text())
                _wait_for(begun)
    assert begun.exists()
    _wait_for(left)


@pytest.mark.parametrize("streamed", [False, True])
def test_replica_that_dies_is_asked_again(toys: OpenAI, folder: Path, *, streamed: bool) -> None:
    (folder / "died").unlink(missing_ok=True)
    reply = _ask(toys, "die once", stream=streamed)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in reply) if streamed else None
    assert (text or reply.choices[0].message.content) == ("".join(PIECES) if streamed else "die once")
    assert (folder / "died").exists()


def _wait_for(path: Path) -> None:
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until, f"{path.name}: not within 60 s"
        time.sleep(0.05)
