"""The Responses form by itself: what models do that no client should notice."""

import re
from typing import Any

import orjson

from coe_ray.serve.api.responses_events import ResponsesForm


def chunk(reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


def call(index: int, identity: str | None, arguments: str) -> dict[str, Any]:
    return {"index": index, "id": identity, "function": {"name": "look", "arguments": arguments}}


def events_of(*chunks: dict[str, Any]) -> list[dict[str, Any]]:
    form = ResponsesForm({})
    written = b"".join([*map(form.piece, chunks), form.end()])
    return [orjson.loads(data) for data in re.findall(rb"(?m)^data: (.*)$", written)]


def test_pieces_of_calls_may_come_in_any_order() -> None:
    pieces = [call(0, "a", "{"), call(1, "b", "["), call(0, None, "}"), call(1, None, "]")]
    final = events_of(*(chunk(tool_calls=[each]) for each in pieces), chunk("tool_calls"))[-1]["response"]
    assert [(each["call_id"], each["arguments"]) for each in final["output"]] == [("a", "{}"), ("b", "[]")]


def test_calls_that_are_all_numbered_0_are_told_apart_by_their_ids() -> None:
    final = events_of(chunk(tool_calls=[call(0, "a", "1")]), chunk(tool_calls=[call(0, "b", "2")]))[-1]["response"]
    assert [(each["call_id"], each["arguments"]) for each in final["output"]] == [("a", "1"), ("b", "2")]


def test_reasoning_between_texts_is_an_item_in_its_place() -> None:
    events = events_of(chunk(content="one"), chunk(reasoning="hm"), chunk(content="two"), chunk("stop"))
    output = events[-1]["response"]["output"]
    assert [each["type"] for each in output] == ["message", "reasoning", "message"]
    assert [each["content"][0]["text"] for each in output] == ["one", "hm", "two"]
    assert [each["sequence_number"] for each in events] == list(range(len(events)))


def test_an_answer_of_nothing_is_still_a_response() -> None:
    assert [each["type"] for each in events_of(chunk("stop"))] == [
        "response.created",
        "response.in_progress",
        "response.completed",
    ]


def test_a_choice_without_a_number_is_the_first() -> None:
    unnumbered = {"id": "x", "choices": [{"index": None, "delta": {"content": "x"}, "finish_reason": "stop"}]}
    assert events_of(unnumbered)[-1]["response"]["output"][0]["content"][0]["text"] == "x"


def test_what_is_no_call_and_no_usage_is_left_out() -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "x", "tool_calls": None}, "finish_reason": "stop"}
    whole = ResponsesForm({}).whole({"id": "x", "choices": [choice], "usage": "many"})
    assert (whole["usage"], whole["status"]) == (None, "completed")
    odd = {"prompt_tokens": "3", "completion_tokens": 2, "prompt_tokens_details": [], "completion_tokens_details": 5}
    usage = ResponsesForm({}).whole({"id": "x", "choices": [{**choice, "logprobs": {"content": 5}}], "usage": odd})[
        "usage"
    ]
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (0, 2, 2)
    assert events_of(chunk(tool_calls=["no"], content="x"))[-1]["response"]["output"][0]["content"][0]["text"] == "x"
