"""OpenAI's form: what is taken, what is refused with the parameter's name, and what comes back."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.core.types import Classification, Completion, Delta, Message, Neighbour, SamplingParams, Usage
from coe_ray.routing.router import choose_expert
from coe_ray.serve.api.http import stream_events
from coe_ray.serve.api.openai import (
    MAX_ALL_PARTS,
    MAX_NAMED,
    MAX_PARTS,
    ChatRequest,
    ChatResponse,
    RequestError,
    read_request,
    route_object,
)
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


def test_everything_but_model_messages_and_stream_is_sent_on_as_it_came() -> None:
    sent: dict[str, Any] = {
        **{"temperature": 3, "top_p": None, "stop": "END", "seed": 0, "max_tokens": "5", "n": 2, "user": "me"},
        **{"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto", "logprobs": True},
        **{"response_format": {"type": "json_object"}, "top_k": 5, "chat_template_kwargs": {"thinking": False}},
        **{"reasoning_effort": "low", "metadata": {"a": "b"}, "store": False, "stream_options": {"more": 1}},
    }
    call = read(**sent, model="alpha", stream=False).call()
    assert call.parameters == sent
    assert call.body("m") == {"model": "m", "messages": MESSAGES, **sent}


def test_the_newer_name_of_the_token_limit_stays_and_takes_the_experts_own_away() -> None:
    own = replace(read(max_completion_tokens=7).call(), settings=SamplingParams(max_tokens=9, temperature=0.0))
    assert own.parameters == {"max_completion_tokens": 7, "temperature": 0.0}


def test_a_clients_value_wins_over_the_experts_own() -> None:
    own = replace(read(max_tokens=7, temperature=None).call(), settings=SamplingParams(max_tokens=9, temperature=0.0))
    assert own.parameters == {"max_tokens": 7, "temperature": None}


def test_null_is_as_good_as_left_out() -> None:
    nothing: dict[str, Any] = dict.fromkeys(("stream", "stream_options", "tools", "response_format"))
    request = read(**nothing)
    assert (request.stream, request.include_usage, request.tools, request.response_format) == (None, False, None, None)


def test_messages_are_kept_as_they_came() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://host.example/a.png", "detail": "low"}}
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "text", "text": "what is it?"}, picture], "name": "me"},
        {"role": "assistant", "content": None, "refusal": None, "tool_calls": calls, "audio": None},
        {"role": "tool", "tool_call_id": "1", "content": "12"},
        {"role": "function", "name": "f", "content": "12"},
    ]
    call = read(messages=messages).call()
    assert call.body("m")["messages"] == messages
    assert call.messages == (
        *(Message("user", "what is it?"), Message("assistant", "")),
        *(Message("tool", "12"), Message("tool", "12")),
    )


def test_content_may_come_in_text_parts_and_a_developer_is_the_system() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    request = read(messages=[{"role": "developer", "content": "be brief"}, {"role": "user", "content": parts}])
    assert request.call().messages == (Message("system", "be brief"), Message("user", "one\ntwo"))


@pytest.mark.parametrize(
    ("content", "param", "code"),
    [
        ({"tools": "f"}, "tools", "invalid_value"),
        ({"tools": ["f"]}, "tools.0", "invalid_value"),
        ({"response_format": "json"}, "response_format", "invalid_value"),
        ({"stream_options": []}, "stream_options", "invalid_value"),
        ({"stream_options": {"include_usage": "often"}}, "stream_options.include_usage", "invalid_value"),
        ({"model": 5}, "model", "invalid_value"),
        ({"stream": "yes"}, "stream", "invalid_value"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": "hi"}, "messages", "invalid_value"),
        ({"messages": [{"role": "system", "content": "hi"}]}, "messages", "invalid_value"),
        ({"messages": [{"role": "tool", "content": "hi"}]}, "messages", "invalid_value"),
        ({"messages": [{"role": "user", "content": " \n"}]}, "messages", "invalid_value"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": " "}]}]}, "messages", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages", "invalid_value"),
        ({"messages": [{"role": "user", "content": None}]}, "messages", "invalid_value"),
        ({"messages": [{"role": "critic", "content": "hi"}]}, "messages.0.role", "invalid_value"),
        ({"messages": [{"content": "hi"}]}, "messages.0.role", "missing_required_parameter"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content", "invalid_value"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages.0.content.0.type", "missing_required_parameter"),
        ({"messages": [*MESSAGES, 5]}, "messages.1", "invalid_value"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(content: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(RequestError) as error:
        read(**content)
    assert (error.value.status, error.value.param, error.value.code) == (400, param, code)
    assert error.value.message.startswith(f"{param}: ")


def test_a_refusal_names_every_field_that_is_wrong() -> None:
    with pytest.raises(RequestError) as error:
        read(model=5, stream="yes", tools="f", response_format=1)
    named = [line.partition(":")[0] for line in error.value.message.split("; ")]
    assert named == ["model", "stream", "tools", "response_format"]
    assert (error.value.param, error.value.code) == ("model", "invalid_value")


def test_a_refusal_names_no_more_fields_than_one_can_read() -> None:
    with pytest.raises(RequestError) as error:
        read(tools=["f"] * 100)
    assert len(error.value.message.split("; ")) == MAX_NAMED


def test_a_message_of_nothing_but_an_image_is_a_question() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:,"}}
    assert read(messages=[{"role": "user", "content": [picture]}]).call().messages == (Message("user", ""),)


@pytest.mark.parametrize("depth", [300, 900])
def test_what_is_nested_too_deeply_to_be_passed_on_is_refused(depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    with pytest.raises(RequestError, match="nested"):
        read_request(b'{"messages": [{"role": "user", "content": "hi", "x": %s}]}' % nested)


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
        {"content": " two"},
    ]


def test_of_each_choice_only_the_first_chunk_has_the_role() -> None:
    response = ChatResponse("coe")

    def deltas(*choices: tuple[int, dict[str, Any]]) -> list[dict[str, Any]]:
        event = {"id": "theirs", "model": "m", "choices": [{"index": i, "delta": delta} for i, delta in choices]}
        return [choice["delta"] for choice in response.chunk(Delta("", event=event))["choices"]]

    named = {"role": "assistant", "content": "a"}
    assert deltas((0, named)) == [named]
    assert deltas((0, named), (1, {"content": "b"})) == [{"content": "a"}, {"role": "assistant", "content": "b"}]
    assert deltas((1, named), (0, {})) == [{"content": "a"}, {}]


def test_a_chunk_is_the_models_own_but_for_its_head_and_usage() -> None:
    calls = [{"index": 0, "id": "1", "function": {"name": "f", "arguments": '{"a"'}}]
    choice = {"index": 0, "delta": {"role": "assistant", "tool_calls": calls, "reasoning_content": "hm"}}
    event = {
        **{"id": "theirs", "object": "their.chunk", "created": 1, "model": "m", "usage": None},
        **{"system_fingerprint": "fp", "choices": [{**choice, "finish_reason": None, "logprobs": {"content": []}}]},
    }
    chunk = ChatResponse("coe").chunk(Delta("", event=event))
    assert chunk["choices"] == event["choices"]
    assert (chunk["object"], chunk["model"], chunk["system_fingerprint"]) == ("chat.completion.chunk", "coe", "fp")
    assert chunk["id"] != "theirs"
    assert "usage" not in chunk


def test_a_completion_is_the_models_own_with_the_route_beside_it() -> None:
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    message = {"role": "assistant", "content": None, "tool_calls": calls, "reasoning_content": "hm"}
    reply: dict[str, Any] = {
        **{"id": "theirs", "object": "chat.completion", "created": 1, "model": "m", "system_fingerprint": "fp"},
        "choices": [{"index": i, "message": message, "finish_reason": "tool_calls"} for i in range(2)],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 2}},
    }
    completion = Completion("", "tool_calls", Usage(1, 2), reply=reply)
    assert ChatResponse("coe").completion(completion, {"expert": "alpha"}) == {
        **reply,
        "model": "coe",
        "usage": {**reply["usage"], "total_tokens": 3},  # which clients read, and some providers leave out
        "coe": {"expert": "alpha"},
    }


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


def test_the_parts_of_all_messages_are_bounded_before_they_are_read() -> None:
    part = {"type": "text", "text": "x"}
    messages = [{"role": "user", "content": [part] * MAX_PARTS}] * (MAX_ALL_PARTS // MAX_PARTS)
    assert len(read(messages=messages).messages) == len(messages)
    with pytest.raises(RequestError, match=f"{MAX_ALL_PARTS + 1} parts, at most {MAX_ALL_PARTS} are read") as error:
        read(messages=[*messages, {"role": "user", "content": [part]}])
    assert (error.value.status, error.value.param) == (400, "messages")
