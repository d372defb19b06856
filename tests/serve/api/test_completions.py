"""`/v1/completions` as OpenAI's client uses it: text in and out, routed as a chat is."""

import json
from typing import Any

import httpx
import openai
import orjson
import pytest
from openai import OpenAI

from coe_ray.serve.api.completions import CompletionForm, CompletionRequest, read_completion_request
from coe_ray.serve.api.openai import RequestError
from tests.serve.upstream import Upstream
from tests.serve.world import CONTAINERS, STATEFUL
from tests.support.chat_client import error_of

COMPLETIONS = "/v1/completions"


def test_a_prompt_is_routed_and_answered(client: OpenAI) -> None:
    raw = client.completions.with_raw_response.create(model="coe", prompt=STATEFUL)
    completion = raw.parse()
    assert completion.choices[0].text == "A stateful set keeps names.  So the answer is (B)."
    assert (completion.object, completion.choices[0].finish_reason) == ("text_completion", "stop")
    assert completion.id.startswith("cmpl-")
    assert completion.usage is not None
    assert completion.usage.total_tokens > 0
    assert completion.to_dict()["coe"]["task"] == CONTAINERS  # type: ignore[index]
    assert raw.headers["x-coe-expert"] == "captain"


def test_a_list_of_one_prompt_is_that_prompt(client: OpenAI) -> None:
    assert client.completions.create(model="remote", prompt=["say one"]).choices[0].text == "say one"


def test_a_stream_joins_to_the_plain_answer_and_ends_with_route_and_usage(client: OpenAI) -> None:
    *others, last = client.completions.create(model="remote", prompt="say this and that", stream=True)
    assert "".join(chunk.choices[0].text for chunk in (*others, last)) == "say this and that"
    assert {chunk.object for chunk in others} == {"text_completion"}
    assert last.choices[0].finish_reason == "stop"
    assert last.to_dict()["coe"]["expert"] == "remote"  # type: ignore[index]
    assert last.usage is not None
    assert last.usage.completion_tokens == 3


def test_the_events_end_with_done(http: httpx.Client) -> None:
    response = http.post(COMPLETIONS, json={"model": "remote", "prompt": "say so", "stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text.endswith("data: [DONE]\n\n")


def test_settings_and_unknown_fields_go_to_the_model(client: OpenAI, upstream: Upstream) -> None:
    extra = {"top_k": 5}
    completion = client.completions.create(
        model="remote", prompt="settings", max_tokens=9, stop=["x"], logprobs=2, best_of=1, suffix="", extra_body=extra
    )
    body = json.loads(completion.choices[0].text)
    assert body["messages"] == [{"role": "user", "content": "settings"}]
    assert (body["max_tokens"], body["stop"], body["top_k"]) == (9, ["x"], 5)
    assert (body["logprobs"], body["top_logprobs"]) == (True, 2)
    assert not {"prompt", "best_of", "suffix", "echo"} & set(body)


def test_a_refusal_names_every_field(http: httpx.Client) -> None:
    asked = {"prompt": ["a", "b"], "suffix": "x", "best_of": 3, "echo": True}
    response = http.post(COMPLETIONS, json=asked)
    assert response.status_code == 400
    message = error_of(response)["message"]
    assert all(f"{name}: " in message for name in asked)


@pytest.mark.parametrize("prompt", [[1, 2], [[1], [2]], 5, "", " ", [], [""], None, {"a": 1}, [None]])
def test_what_is_no_prompt_is_refused(prompt: Any) -> None:
    with pytest.raises(RequestError) as caught:
        read_completion_request(orjson.dumps({"prompt": prompt}))
    assert (caught.value.status, caught.value.param) == (400, "prompt")


def test_an_unknown_model_is_404(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="nobody"):
        client.completions.create(model="nobody", prompt="x")


def test_logprobs_are_parallel_lists_whose_offsets_go_on_in_a_stream() -> None:
    form = CompletionForm()

    def chunk(*tokens: str) -> dict[str, Any]:
        content = [{"token": each, "logprob": -0.5, "top_logprobs": [{"token": "z", "logprob": -2}]} for each in tokens]
        choice = {"index": 0, "delta": {"content": "".join(tokens)}, "logprobs": {"content": content}}
        return {"id": "chatcmpl-1", "choices": [choice]}

    written = [orjson.loads(form.piece(each).removeprefix(b"data: ")) for each in (chunk("ab", "c"), chunk("d"))]
    first, second = (each["choices"][0]["logprobs"] for each in written)
    assert first == {
        "tokens": ["ab", "c"],
        "token_logprobs": [-0.5, -0.5],
        "top_logprobs": [{"z": -2}, {"z": -2}],
        "text_offset": [0, 2],
    }
    assert second["text_offset"] == [3]


def test_logprobs_that_cannot_be_read_are_left_out() -> None:
    tokens = [5, {"token": "x", "top_logprobs": ["no", {}]}, {"top_logprobs": 5}]
    choice = {"index": 0, "message": {"content": "x"}, "logprobs": {"content": tokens}, "finish_reason": "stop"}
    (written,) = CompletionForm().whole({"id": "x", "choices": [choice]})["choices"]
    assert written["logprobs"]["tokens"] == ["x", ""]
    assert written["logprobs"]["top_logprobs"] == [{"": None}, {}]


def test_reasoning_and_refusals_are_kept() -> None:
    message = {"role": "assistant", "content": None, "refusal": "No.", "reasoning_content": "Hm."}
    completion = {"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    (choice,) = CompletionForm().whole(completion)["choices"]
    assert (choice["text"], choice["reasoning_content"], choice["finish_reason"]) == ("No.", "Hm.", "stop")


def test_its_schema_says_what_is_taken() -> None:
    properties = CompletionRequest.model_json_schema()["properties"]
    assert properties["best_of"]["enum"] == [1, None]
    assert properties["prompt"]["anyOf"][1]["maxItems"] == 1
