"""`/v1/responses` as OpenAI's client uses it, with a model that calls tools, reasons, refuses and is cut short."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import openai
import orjson
import pytest
from openai import OpenAI
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseReasoningItem
from pydantic import BaseModel

from coe_ray.serve.api.openai import MAX_PARTS, RequestError
from coe_ray.serve.api.responses_api import read_responses_request
from tests.serve.world import CONTAINERS, STATEFUL, write_profile
from tests.support.chat_client import error_of
from tests.support.endpoint import make_endpoint, serve_app
from tests.support.upstream import DONE, USAGE, ChatRequest, FakeUpstream, Reply, answer, completion, piece, streamed

RESPONSES = "/v1/responses"
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "the weather in a town",
    "parameters": {
        "type": "object",
        "properties": {"town": {"type": "string"}},
        "required": ["town"],
        "additionalProperties": False,
    },
    "strict": True,
}


class Model(FakeUpstream):
    """What its last message asks for."""

    def respond(self, request: ChatRequest) -> Reply:
        last = request.body["messages"][-1]
        if last["role"] == "tool":
            return completion(request, f"It is {last['content']}.")
        for word, whole, pieces in _REPLIES:
            if word in request.prompt:
                end = () if word == "break" else (USAGE, DONE)
                return streamed(*pieces, *end, cut=not end) if request.stream else whole
        return completion(request, request.prompt)


def _call(identity: str, town: str) -> dict[str, Any]:
    function = {"name": "weather", "arguments": json.dumps({"town": town})}
    return {"id": identity, "type": "function", "function": function}


def _call_pieces(index: int, identity: str, town: str) -> list[bytes]:
    arguments = json.dumps({"town": town})
    first = {"index": index, "id": identity, "type": "function", "function": {"name": "weather", "arguments": ""}}
    rest = [{"index": index, "function": {"arguments": part}} for part in (arguments[:5], arguments[5:])]
    return [piece(tool_calls=[each]) for each in (first, *rest)]


_REPLIES = [
    (
        "weather",
        answer(None, "tool_calls", reasoning_content="Two.", tool_calls=[_call("a", "Bonn"), _call("b", "Köln")]),
        [
            piece(role="assistant", reasoning_content="Tw"),
            piece(reasoning_content="o."),
            *_call_pieces(0, "a", "Bonn"),
            *_call_pieces(1, "b", "Köln"),
            piece("tool_calls"),
        ],
    ),
    ("long", answer("It goes", "length"), [piece(content="It "), piece(content="goes"), piece("length")]),
    ("filter", answer("It", "content_filter"), [piece(content="It"), piece("content_filter")]),
    ("refuse", answer(None, refusal="I will not."), [piece(refusal="I will "), piece(refusal="not."), piece("stop")]),
    ("json", answer('{"town": "Bonn"}'), [piece(content='{"town": '), piece(content='"Bonn"}'), piece("stop")]),
    ("break", answer("x"), [piece(content="It ")]),
]


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with Model().started() as model:
        yield model


@pytest.fixture(scope="module")
def api(world: Path, model: Model) -> Iterator[OpenAI]:
    profile = write_profile(world.parent / "responses.yaml", model.base_url)
    with serve_app(make_endpoint(profile).app) as url, OpenAI(base_url=f"{url}/v1", api_key="-", max_retries=0) as api:
        yield api


def post(api: OpenAI, **body: Any) -> httpx.Response:
    return httpx.post(f"{api.base_url}responses", json={"model": "remote", **body}, timeout=30)


class TestAnswers:
    def test_a_text_is_routed_and_answered(self, api: OpenAI) -> None:
        raw = api.responses.with_raw_response.create(model="coe", input=STATEFUL)
        response = raw.parse()
        assert response.output_text == "A stateful set keeps names.  So the answer is (B)."
        assert (response.status, response.object, response.model) == ("completed", "response", "coe")
        assert response.id.startswith("resp_")
        assert response.to_dict()["coe"]["task"] == CONTAINERS  # type: ignore[index]
        assert raw.headers["x-coe-expert"] == "captain"

    def test_usage_has_this_forms_names(self, api: OpenAI) -> None:
        usage = api.responses.create(model="remote", input="hello").usage
        assert usage is not None
        assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (7, 3, 10)
        assert usage.output_tokens_details.reasoning_tokens == 0

    def test_the_response_repeats_its_settings_and_stores_nothing(self, api: OpenAI) -> None:
        response = api.responses.create(
            model="remote", input="hello", store=True, metadata={"a": "b"}, temperature=0.5, tools=[WEATHER]
        )
        assert response.to_dict()["store"] is False
        assert (response.metadata, response.temperature) == ({"a": "b"}, 0.5)
        assert response.tools[0].to_dict() == WEATHER

    @pytest.mark.parametrize(("asked", "reason"), [("long", "max_output_tokens"), ("filter", "content_filter")])
    def test_what_was_cut_short_is_incomplete(self, api: OpenAI, asked: str, reason: str) -> None:
        response = api.responses.create(model="remote", input=asked)
        assert response.status == "incomplete"
        assert response.incomplete_details is not None
        assert response.incomplete_details.reason == reason
        assert response.output[0].status == "incomplete"  # type: ignore[union-attr]

    def test_a_refusal_is_a_part_of_its_own(self, api: OpenAI) -> None:
        response = api.responses.create(model="remote", input="refuse")
        (message,) = response.output
        assert isinstance(message, ResponseOutputMessage)
        assert message.content[0].to_dict() == {"type": "refusal", "refusal": "I will not."}

    def test_a_parsed_answer(self, api: OpenAI, model: Model) -> None:
        class Place(BaseModel):
            town: str

        response = api.responses.parse(model="remote", input="json", text_format=Place)
        assert response.output_parsed == Place(town="Bonn")
        form = model.bodies[-1]["response_format"]
        assert (form["type"], form["json_schema"]["name"]) == ("json_schema", "Place")
        assert form["json_schema"]["schema"]["required"] == ["town"]

    def test_failures_are_error_objects(self, api: OpenAI) -> None:
        with pytest.raises(openai.NotFoundError, match="nobody"):
            api.responses.create(model="nobody", input="x")
        with pytest.raises(openai.InternalServerError, match="no engine on board"):
            api.responses.create(model="faulty", input="x")


class TestTools:
    def test_a_loop_by_the_clients_own_items(self, api: OpenAI, model: Model) -> None:
        """As OpenAI's guide does it: output items go back as they came, with the results behind them."""
        items: list[Any] = [{"role": "user", "content": "weather?"}]
        response = api.responses.create(model="remote", input=items, instructions="Be brief.", tools=[WEATHER])
        reasoning, *calls = response.output
        assert isinstance(reasoning, ResponseReasoningItem)
        assert reasoning.content is not None
        assert reasoning.content[0].text == "Two."
        assert [(each.call_id, each.name) for each in calls if isinstance(each, ResponseFunctionToolCall)] == [
            ("a", "weather"),
            ("b", "weather"),
        ]
        items += response.output
        items += [{"type": "function_call_output", "call_id": name, "output": f"warm in {name}"} for name in "ab"]
        again = api.responses.create(model="remote", input=items, instructions="Be brief.", tools=[WEATHER])
        assert again.output_text == "It is warm in b."
        sent = model.bodies[-1]
        assert [each["role"] for each in sent["messages"]] == ["system", "user", "assistant", "tool", "tool"]
        assert sent["messages"][2]["tool_calls"] == [_call("a", "Bonn"), _call("b", "Köln")]
        assert sent["messages"][2]["reasoning_content"] == "Two."
        assert sent["messages"][3] == {"role": "tool", "tool_call_id": "a", "content": "warm in a"}
        function = {name: value for name, value in WEATHER.items() if name != "type"}
        assert sent["tools"] == [{"type": "function", "function": function}]

    def test_whole_and_streamed_calls_are_the_same(self, api: OpenAI) -> None:
        whole = api.responses.create(model="remote", input="weather?", tools=[WEATHER])
        with api.responses.stream(model="remote", input="weather?", tools=[WEATHER]) as stream:
            streamed = stream.get_final_response()

        def said(output: Any) -> list[Any]:
            unlike = ("id", "parsed_arguments")
            return [{name: value for name, value in each.to_dict().items() if name not in unlike} for each in output]

        assert said(streamed.output) == said(whole.output)
        assert streamed.output[1].parsed_arguments == {"town": "Bonn"}  # type: ignore[union-attr]


class TestStreams:
    def test_the_events_of_a_text(self, api: OpenAI) -> None:
        events = list(api.responses.create(model="remote", input="one two", stream=True))
        assert [event.type for event in events] == [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
        assert [event.sequence_number for event in events] == list(range(len(events)))
        final = events[-1].response  # type: ignore[union-attr]
        assert final.output_text == "one two"
        assert final.usage is not None
        assert final.usage.output_tokens == 3
        assert final.to_dict()["coe"]["expert"] == "remote"  # type: ignore[index]
        assert len({event.response.id for event in events if hasattr(event, "response")}) == 1

    def test_the_events_of_calls(self, api: OpenAI) -> None:
        events = list(api.responses.create(model="remote", input="weather?", tools=[WEATHER], stream=True))
        kinds = [event.type.removeprefix("response.") for event in events]
        assert kinds[2:6] == ["output_item.added", "content_part.added"] + ["reasoning_text.delta"] * 2
        assert kinds[6:9] == ["reasoning_text.done", "content_part.done", "output_item.done"]
        assert kinds.count("function_call_arguments.delta") == 4
        done = [each.to_dict() for each in events if each.type == "response.function_call_arguments.done"]
        assert [json.loads(str(each["arguments"]))["town"] for each in done] == ["Bonn", "Köln"]
        assert [each["output_index"] for each in done] == [1, 2]

    def test_the_clients_helper_accumulates(self, api: OpenAI) -> None:
        with api.responses.stream(model="coe", input=STATEFUL) as stream:
            snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
            final = stream.get_final_response()
        assert snapshots[-1] == final.output_text == "A stateful set keeps names.  So the answer is (B)."

    @pytest.mark.parametrize(("asked", "reason"), [("long", "max_output_tokens"), ("filter", "content_filter")])
    def test_what_was_cut_short_ends_incomplete(self, api: OpenAI, asked: str, reason: str) -> None:
        *_, last = api.responses.create(model="remote", input=asked, stream=True)
        assert last.type == "response.incomplete"
        assert last.response.incomplete_details is not None
        assert last.response.incomplete_details.reason == reason

    def test_a_refusal(self, api: OpenAI) -> None:
        events = list(api.responses.create(model="remote", input="refuse", stream=True))
        deltas = [event.delta for event in events if event.type == "response.refusal.delta"]
        assert deltas == ["I will ", "not."]

    def test_a_stream_that_breaks_off_fails_and_keeps_what_there_was(self, api: OpenAI) -> None:
        *_, last = api.responses.create(model="remote", input="break", stream=True)
        assert last.type == "response.failed"
        assert last.response.error is not None
        assert "remote" in last.response.error.message
        assert last.response.output_text == "It "
        assert last.response.output[0].status == "incomplete"  # type: ignore[union-attr]

    def test_events_on_the_wire_have_names_and_no_done(self, api: OpenAI) -> None:
        text = post(api, input="hello", stream=True).text
        assert text.startswith('event: response.created\ndata: {"type":"response.created","sequence_number":0,')
        assert "[DONE]" not in text


class TestRefusals:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("previous_response_id", "resp_1"),
            ("conversation", "conv_1"),
            ("background", True),
            ("prompt", {"id": "p"}),
            ("input", [{"type": "item_reference", "id": "msg_1"}]),
        ],
    )
    def test_state_is_refused_by_name_with_a_sentence(self, api: OpenAI, field: str, value: Any) -> None:
        response = post(api, **{"input": "hello", field: value})
        assert response.status_code == 400
        assert field in error_of(response)["param"]
        assert "nothing is stored here between requests" in error_of(response)["message"]

    def test_every_wrong_field_is_named(self) -> None:
        tools = [{"type": "web_search"}, {"type": "function"}]
        items = [
            {"type": "computer_call"},
            {"role": "tool", "content": 5},
            {"role": "user", "content": [{"type": "x"}]},
        ]
        body = {"input": [*items, "x"], "tools": tools, "tool_choice": {"type": "file_search"}, "text": {"format": 1}}
        with pytest.raises(RequestError) as caught:
            read_responses_request(orjson.dumps(body))
        for name in (
            *("input.0.type", "input.1.role", "input.1.content", "input.2.content.0", "input.3.type"),
            *("tools.0.type", "tools.1.name", "tool_choice", "text.format"),
        ):
            assert f"{name}: " in caught.value.message

    @pytest.mark.parametrize("value", ["", " ", [], None, 5, [{"role": "system", "content": "x"}]])
    def test_there_must_be_a_question(self, value: Any) -> None:
        with pytest.raises(RequestError) as caught:
            read_responses_request(orjson.dumps({"input": value}))
        assert (caught.value.status, caught.value.param) == (400, "input")


def chat_of(**body: Any) -> dict[str, Any]:
    request, _ = read_responses_request(orjson.dumps(body))
    return dict(request.call().request or {})


class TestTranslation:
    def test_settings(self) -> None:
        chat = chat_of(
            input="x",
            max_output_tokens=9,
            temperature=0.1,
            top_k=3,
            reasoning={"effort": "low"},
            text={"verbosity": "low", "format": {"type": "json_object"}},
            include=["message.output_text.logprobs"],
            top_logprobs=2,
            tool_choice={"type": "function", "name": "weather"},
            tools=[WEATHER],
            store=True,
            metadata={"a": "b"},
            stream_options={"include_obfuscation": False},
        )
        assert (chat["max_tokens"], chat["temperature"], chat["top_k"]) == (9, 0.1, 3)
        assert (chat["reasoning_effort"], chat["verbosity"]) == ("low", "low")
        assert chat["response_format"] == {"type": "json_object"}
        assert (chat["logprobs"], chat["top_logprobs"]) == (True, 2)
        assert chat["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
        untranslated = {"input", "text", "reasoning", "include", "store", "metadata", "stream_options"}
        assert not untranslated & set(chat)

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"include": [1] * 100_000}, "include"),
            ({"tool_choice": {"type": "allowed_tools", "tools": [1] * 100_000}}, "tool_choice"),
            ({"input": [{"role": "user", "content": [1] * MAX_PARTS}] * 200}, "input.0.content.0"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_no_list_is_read_to_its_end_where_it_cannot_be_right(self, fields: dict[str, Any], param: str) -> None:
        """Half a million of problems held the event loop for seconds."""
        body = orjson.dumps({"input": "hi", **fields})
        shown_as = patch("coe_ray.serve.api.responses_api._shown", return_value="1")
        with shown_as as shown, pytest.raises(RequestError) as caught:
            read_responses_request(body)
        assert (caught.value.status, caught.value.param) == (400, param)
        assert shown.call_count <= MAX_PARTS

    def test_allowed_tools(self) -> None:
        allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "weather"}]}
        assert chat_of(input="x", tool_choice=allowed, tools=[WEATHER])["tool_choice"] == {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "weather"}}]},
        }

    def test_parts(self) -> None:
        parts = [
            {"type": "input_text", "text": "look"},
            {"type": "input_image", "image_url": "data:,", "detail": "low"},
            {"type": "input_file", "file_data": "data:,", "filename": "a.pdf"},
        ]
        (message,) = chat_of(input=[{"type": "message", "role": "user", "content": parts}])["messages"]
        assert message["content"] == [
            {"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": "data:,", "detail": "low"}},
            {"type": "file", "file": {"file_data": "data:,", "filename": "a.pdf"}},
        ]

    def test_an_answer_sent_back_is_plain_text_and_its_reasoning_stays_away(self) -> None:
        """Reasoning goes back only with calls: models that reason refuse it elsewhere."""
        items = [
            {"role": "user", "content": [{"type": "input_text", "text": "one"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "two", "annotations": []}],
            },
            {"role": "user", "content": "three"},
        ]
        assert chat_of(input=items)["messages"] == [
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "two"},
            {"role": "user", "content": "three"},
        ]
