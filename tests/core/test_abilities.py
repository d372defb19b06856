"""What a request needs to be read: told by its question, its tools, its parts and the form of its answer."""

from typing import Any

import pytest

from coe_ray.core.abilities import ALL_ABILITIES, estimate_tokens, needed_abilities
from coe_ray.core.questions import make_question
from coe_ray.core.types import Call, Message

HI: dict[str, Any] = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "f"}}
TOOL_CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:,"}}


def needed(*messages: dict[str, Any], options: tuple[str, ...] = (), **request: Any) -> frozenset[str]:
    body = {"messages": list(messages) or [HI], **request}
    return needed_abilities(Call((), question=make_question("?", options), request=body))


def test_a_question_needs_choice_or_text() -> None:
    assert needed() == {"text"}
    assert needed(options=("a", "b")) == {"choice"}
    assert needed_abilities(Call((Message("user", "hi"),))) == {"text"}
    assert needed_abilities(Call((), question=make_question("?", ("a", "b")))) == {"choice"}


@pytest.mark.parametrize(
    ("messages", "request_fields"),
    [
        ([HI], {"tools": [TOOL]}),
        ([HI], {"functions": [{"name": "f"}]}),
        ([HI, {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]}], {}),
        ([HI, {"role": "tool", "content": "12", "tool_call_id": "1"}], {}),
        ([HI, {"role": "function", "content": "12", "name": "f"}], {}),
    ],
)
def test_tools_are_needed_for_tools_and_for_their_results(
    messages: list[dict[str, Any]], request_fields: dict[str, Any]
) -> None:
    assert needed(*messages, **request_fields) == {"text", "tools"}


@pytest.mark.parametrize("part", [PICTURE, {"type": "input_audio", "input_audio": {}}, {"type": "file"}])
def test_a_part_that_is_no_text_needs_images(part: dict[str, Any]) -> None:
    assert needed({"role": "user", "content": [{"type": "text", "text": "hi"}, part]}) == {"text", "images"}


@pytest.mark.parametrize("form", [{"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "x"}}])
def test_a_form_other_than_text_needs_json(form: dict[str, Any]) -> None:
    assert needed(response_format=form) == {"text", "json"}


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": []},
        {"tools": None, "functions": None, "tool_choice": None},
        {"response_format": None},
        {"response_format": {}},
        {"response_format": {"type": "text"}},
        {"logprobs": False, "store": False, "metadata": {}},
    ],
)
def test_fields_that_say_nothing_need_nothing(fields: dict[str, Any]) -> None:
    answer_sent_back = {"role": "assistant", "content": "ok", "refusal": None, "tool_calls": None}
    parts = [{"type": "text", "text": "hi"}, {"type": "refusal", "refusal": "no"}]
    assert needed(HI, answer_sent_back, {"role": "user", "content": parts}, **fields) == {"text"}


def test_everything_at_once() -> None:
    asked = {"role": "user", "content": [PICTURE]}
    assert needed(asked, tools=[TOOL], response_format={"type": "json_object"}) == ALL_ABILITIES - {"choice"}


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("abcdefgh", 2), ("重启服务器", 5), ("重启 nginx now", 2 + 10 // 4), ("a" * 4000, 1000)],
)
def test_tokens_are_a_quarter_of_ascii_and_every_other_character(text: str, tokens: int) -> None:
    assert estimate_tokens(Call((Message("user", text),))) == tokens
    assert estimate_tokens(Call((Message("system", text), Message("user", text)))) == 2 * tokens
