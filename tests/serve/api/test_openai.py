"""OpenAI's form: what is taken, what is refused with the parameter's name, and what comes back."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.core.types import Classification, Completion, Delta, Message, Neighbour, SamplingParams, Usage
from coe_ray.routing.router import choose_expert
from coe_ray.serve.api.openai import ChatRequest, ChatResponse, RequestError, read_request, route_object
from coe_ray.serve.api.responses import stream_events
from coe_ray.serve.telemetry.request_record import RequestRecord, set_current_record
from tests.support.planted import BOARD

MESSAGES = [{"role": "user", "content": "hi"}]


def read(**content: Any) -> ChatRequest:
    return read_request(orjson.dumps({"messages": MESSAGES, **content}))


def test_the_least_request_asks_the_route() -> None:
    request = read()
    assert request.model == "coe"
    assert request.call().messages == (Message("user", "hi"),)
    assert request.call().settings == SamplingParams()


def test_settings_are_taken_over() -> None:
    request = read(temperature=0, top_p=0.5, stop="END", seed=0, max_tokens=5, n=1, user="me", stream=False)
    assert request.call().settings == SamplingParams(max_tokens=5, temperature=0.0, top_p=0.5, stop=("END",), seed=0)


def test_the_newer_name_of_the_token_limit_wins() -> None:
    assert read(max_completion_tokens=7, max_tokens=5).call().settings.max_tokens == 7


def test_stop_may_be_a_list() -> None:
    assert read(stop=["a", "b"]).call().settings.stop == ("a", "b")


def test_null_is_as_good_as_left_out() -> None:
    assert read(temperature=None, stop=None, stream=None, n=None, max_tokens=None).call().settings == SamplingParams()


def test_content_may_come_in_text_parts_and_a_developer_is_the_system() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    request = read(messages=[{"role": "developer", "content": "be brief"}, {"role": "user", "content": parts}])
    assert request.call().messages == (Message("system", "be brief"), Message("user", "one\ntwo"))


@pytest.mark.parametrize(
    ("content", "param", "code"),
    [
        ({"tools": []}, "tools", "unsupported_parameter"),
        ({"response_format": {}}, "response_format", "unsupported_parameter"),
        ({"n": 2}, "n", "invalid_value"),
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"temperature": "hot"}, "temperature", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"max_tokens": "5"}, "max_tokens", "invalid_value"),
        ({"top_p": 0}, "top_p", "invalid_value"),
        ({"stream": "yes"}, "stream", "invalid_value"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": "hi"}, "messages", "invalid_value"),
        ({"messages": [{"role": "system", "content": "hi"}]}, "messages", "invalid_value"),
        ({"messages": [{"role": "user", "content": " \n"}]}, "messages", "invalid_value"),
        ({"messages": [{"role": "tool", "content": "hi"}]}, "messages.0.role", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages.0.content", "missing_required_parameter"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(content: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(RequestError) as error:
        read(**content)
    assert (error.value.status, error.value.param, error.value.code) == (400, param, code)
    assert error.value.message.startswith(f"{param}: ")


def test_an_image_is_refused() -> None:
    picture = {"type": "image_url", "image_url": {"url": "http://x"}}
    with pytest.raises(RequestError, match=r"messages\.0\.content"):
        read(messages=[{"role": "user", "content": [picture]}])


def test_missing_messages_are_said() -> None:
    with pytest.raises(RequestError, match=r"^messages: missing$"):
        read_request(b"{}")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"NaN", b'{"messages": "\\ud800"}'])
def test_a_body_that_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(RequestError, match="the body is not JSON"):
        read_request(body)


@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"1"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(RequestError, match="must be a JSON object"):
        read_request(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content", "x"]), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*ChatRequest.model_fields, "tools"]), JSON), st.booleans())
def test_any_json_is_a_request_or_a_request_error(content: dict[str, Any], with_messages: bool) -> None:
    try:
        request = read_request(orjson.dumps(content | ({"messages": MESSAGES} if with_messages else {})))
    except RequestError as error:
        assert error.status == 400
    else:
        assert request.call().messages


@given(st.binary())
def test_any_bytes_are_a_request_or_a_request_error(body: bytes) -> None:
    with pytest.raises(RequestError):
        read_request(body)


def test_an_error_object_is_openais() -> None:
    assert RequestError(400, "bad", param="tools", code="unsupported_parameter").content() == {
        "error": {"message": "bad", "type": "invalid_request_error", "param": "tools", "code": "unsupported_parameter"}
    }
    assert RequestError(503, "down").content()["error"]["type"] == "server_error"


def test_a_completion_is_openais_with_the_route_beside_it() -> None:
    said = ChatResponse("coe").completion(Completion("yes", "length", Usage(3, 4), refusal="no"), {"expert": "alpha"})
    assert said["object"] == "chat.completion"
    assert said["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "yes", "refusal": "no"},
            "finish_reason": "length",
            "logprobs": None,
        }
    ]
    assert said["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert said["coe"] == {"expert": "alpha"}


async def streamed(*, include_usage: bool) -> list[dict[str, Any]]:
    """The chunks of an answer in three pieces, the last with its usage."""

    async def rest() -> AsyncIterator[Delta]:
        yield Delta(" two")
        yield Delta("", "length", Usage(1, 2))

    pieces = stream_events(
        ChatResponse("alpha"), Delta("one"), rest(), {"expert": "alpha"}, include_usage=include_usage
    )
    with set_current_record(RequestRecord("an id", "POST")):
        *chunks, done = [piece.removeprefix(b"data: ") async for piece in pieces]
    assert done == b"[DONE]\n\n"
    return [orjson.loads(chunk) for chunk in chunks]


@pytest.mark.parametrize("include_usage", [True, False])
async def test_the_chunks_of_one_answer_share_its_head(include_usage: bool) -> None:
    chunks = await streamed(include_usage=include_usage)
    assert len({(each["id"], each["created"]) for each in chunks}) == 1
    assert {(each["model"], each["object"]) for each in chunks} == {("alpha", "chat.completion.chunk")}
    assert [each["choices"][0]["delta"] for each in chunks[:2]] == [
        {"role": "assistant", "content": "one"},
        {"role": "assistant", "content": " two"},
    ]


async def test_usage_and_route_stand_in_a_last_chunk_without_choices_for_who_asked_for_usage() -> None:
    *_, end, last = await streamed(include_usage=True)
    assert (end["choices"][0]["delta"], end["choices"][0]["finish_reason"]) == ({}, "length")
    assert "coe" not in end
    assert (last["choices"], last["coe"], last["usage"]["total_tokens"]) == ([], {"expert": "alpha"}, 3)


async def test_who_did_not_ask_for_usage_finds_a_choice_in_every_chunk() -> None:
    chunks = await streamed(include_usage=False)
    assert all(each["choices"] for each in chunks)
    assert (chunks[-1]["choices"][0]["finish_reason"], chunks[-1]["coe"]) == ("length", {"expert": "alpha"})


def test_two_answers_have_two_ids() -> None:
    assert ChatResponse("coe").chunk(Delta("a"))["id"] != ChatResponse("coe").chunk(Delta("a"))["id"]


def test_the_route_is_told_with_its_reasons() -> None:
    near = Neighbour("1", "one?", "Build", 0.123456, 1.0)
    said = Classification("Build", "rule", "raw", 0.987654, (near,), seconds=0.25)
    assert orjson.loads(orjson.dumps(route_object(choose_expert(said, BOARD)))) == {
        "expert": "beta",
        "task": "Build",
        "confidence": 0.9877,
        "reason": "best on Build",
        "leaderboard": BOARD.version,
        "row": [
            {"expert": "beta", "accuracy": 0.75, "correct": 3, "total": 4},
            {"expert": "alpha", "accuracy": 0.5, "correct": 2, "total": 4},
        ],
        "runner_up": {"expert": "alpha", "accuracy": 0.5, "correct": 2, "total": 4},
        "margin": 0.25,
        "cached": False,
        "classifier": {"by": "llm", "rule": "rule", "fallback": None, "raw": "raw", "seconds": 0.25},
        "neighbours": [{"question": "one?", "task": "Build", "similarity": 0.1235, "weight": 1.0}],
        "tried": [],
    }
