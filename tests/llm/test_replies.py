"""Replies as a client gets them, whole and in pieces; and the first token's alternatives, where they can be read."""

from collections.abc import AsyncGenerator
from typing import Any

import orjson
import pytest

from coe_ray.core.errors import MalformedReply
from coe_ray.core.types import Call, Delta, Usage
from coe_ray.llm.faults import FaultClassifier
from coe_ray.llm.provider_key import ProviderKey
from coe_ray.llm.replies import StreamReader, completion_deltas, is_substance, read_completion, start_stream
from coe_ray.llm.retry import Timeouts
from tests.support.model_under_test import FAULTS, KEY

ALTERNATIVES = [
    {"token": " B", "logprob": -1.5, "bytes": [32, 66]},
    {"token": "A", "logprob": -0.25},
    {"token": "The", "logprob": -9999},
]


def reply(**choice: Any) -> bytes:
    return orjson.dumps({"choices": [{"message": {"content": "A"}, "finish_reason": "length", **choice}]})


def told(alternatives: object) -> bytes:
    return reply(logprobs={"content": [{"token": "A", "logprob": -0.25, "top_logprobs": alternatives}]})


def test_the_alternatives_to_the_first_token_come_likeliest_first() -> None:
    completion = read_completion(FAULTS, told(ALTERNATIVES))
    assert completion.first_token == (("A", -0.25), (" B", -1.5), ("The", -9999.0))
    assert (completion.text, completion.finish_reason, completion.usage) == ("A", "length", Usage())


def test_only_the_first_token_counts() -> None:
    first = {"token": "A", "top_logprobs": ALTERNATIVES[:1]}
    second = {"token": ".", "top_logprobs": ALTERNATIVES}
    assert read_completion(FAULTS, reply(logprobs={"content": [first, second]})).first_token == ((" B", -1.5),)


NO_TOKENS: tuple[object, ...] = (None, [], {}, "A", [None], [5], ["A"], [[]], [{}], [{"token": "A"}])


@pytest.mark.parametrize(
    "logprobs",
    [
        *(None, 5, True, "A", [], [ALTERNATIVES], {}),
        *({"content": content} for content in NO_TOKENS),
        # The form of older completions.
        {"tokens": ["A"], "token_logprobs": [-0.25], "top_logprobs": [{"A": -0.25}]},
    ],
    ids=str,
)
def test_an_answer_counts_though_no_alternatives_were_told(logprobs: object) -> None:
    completion = read_completion(FAULTS, reply(logprobs=logprobs))
    assert (completion.text, completion.first_token) == ("A", ())


NO_CHANCES: tuple[object, ...] = (None, True, 0.5, 2**63, [], {})


@pytest.mark.parametrize(
    "alternatives",
    [
        *(None, 0, 5, 1.5, True, False, "AB", {}, {"A": -0.25}, {"token": "A", "logprob": -0.25}, []),
        *([None, 5, "A", [], {}], [{"token": "A"}], [{"logprob": -1.0}], [{"token": 5, "logprob": -1.0}]),
        *([{"token": "A", "logprob": chance}] for chance in (*NO_CHANCES, "-1")),
    ],
    ids=str,
)
def test_alternatives_that_cannot_be_are_none(alternatives: object) -> None:
    completion = read_completion(FAULTS, told(alternatives))
    assert (completion.text, completion.first_token) == ("A", ())


def test_one_broken_alternative_takes_no_other_with_it() -> None:
    broken = [None, {"token": "A", "logprob": 5}, *ALTERNATIVES, {"token": None, "logprob": -1.0}]
    assert len(read_completion(FAULTS, told(broken)).first_token) == len(ALTERNATIVES)


def test_a_refusal_may_have_alternatives_and_stays_a_refusal() -> None:
    body = reply(message={"refusal": "no"}, logprobs={"content": [{"top_logprobs": ALTERNATIVES}]})
    completion = read_completion(FAULTS, body)
    assert (completion.refusal, len(completion.first_token)) == ("no", 3)


def test_a_key_that_an_endpoint_says_as_a_token_goes_no_further() -> None:
    body = told([{"token": f"<{KEY}>", "logprob": -1.0}, {"token": "A", "logprob": -2.0}])
    assert read_completion(FAULTS, body).first_token == (("<***>", -1.0), ("A", -2.0))
    keyless = FaultClassifier("expert-a", ProviderKey(None), Timeouts())
    assert read_completion(keyless, told(ALTERNATIVES)).first_token[0] == ("A", -0.25)


def test_alternatives_are_no_part_of_a_stream() -> None:
    assert list(completion_deltas(read_completion(FAULTS, told(ALTERNATIVES)))) == [
        Delta("A"),
        Delta("", "length", Usage()),
    ]


CLIENTS = Call((), request={"messages": []})
JOBS = Call(())
TOOL_CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def streamed(*choices: object) -> bytes:
    return b"data: " + orjson.dumps({"choices": choices}) + b"\n\n"


def whole(reason: str = "stop", **message: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": None, **message}, "finish_reason": reason}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}
    return orjson.dumps({"id": "x", "system_fingerprint": "fp", "choices": [choice, choice], "usage": usage})


def test_a_reply_is_kept_whole_for_a_client_and_not_for_a_job() -> None:
    body = whole("tool_calls", tool_calls=[TOOL_CALL], reasoning_content="hm")
    assert read_completion(FAULTS, body, CLIENTS).reply == orjson.loads(body)
    assert read_completion(FAULTS, body, JOBS).reply is None
    assert read_completion(FAULTS, body).reply is None


@pytest.mark.parametrize("text", [None, "", []])
def test_an_empty_answer_is_malformed_for_a_client_and_an_answer_without_a_letter_in_a_job(text: object) -> None:
    body = whole(content=text, refusal=None, tool_calls=[])
    with pytest.raises(MalformedReply, match="the reply is empty"):
        read_completion(FAULTS, body, CLIENTS)
    assert read_completion(FAULTS, body, JOBS).text == ""


@pytest.mark.parametrize(
    "message",
    [
        *({"content": "B"}, {"content": [{"type": "text", "text": "B"}]}, {"refusal": "no"}, {"audio": {"id": "1"}}),
        *(
            {"tool_calls": [TOOL_CALL]},
            {"function_call": {"name": "f"}},
            {"reasoning_content": "h"},
            {"reasoning": "h"},
        ),
    ],
    ids=str,
)
def test_whatever_says_something_is_an_answer(message: dict[str, Any]) -> None:
    assert read_completion(FAULTS, whole(**message), CLIENTS).reply is not None


def test_an_answer_that_ended_before_it_began_is_not_malformed() -> None:
    stopped = Call((), request={"messages": [], "stop": ["\n"]})
    assert read_completion(FAULTS, whole(content=""), stopped).text == ""
    assert read_completion(FAULTS, whole("length", content=""), CLIENTS).finish_reason == "length"
    assert read_completion(FAULTS, whole("content_filter"), CLIENTS).refusal == "content_filter"


@pytest.mark.parametrize("reason", ["tool_calls", "error", "end_turn"])
def test_nothing_but_a_finish_reason_is_no_answer(reason: str) -> None:
    with pytest.raises(MalformedReply, match="the reply is empty"):
        read_completion(FAULTS, whole(reason), CLIENTS)
    with pytest.raises(MalformedReply, match="the reply is empty"):
        list(StreamReader(FAULTS, CLIENTS).feed(streamed({"index": 0, "delta": {}, "finish_reason": reason})))


def test_a_stream_of_a_role_alone_is_no_answer_though_it_was_ended() -> None:
    reader = StreamReader(FAULTS, CLIENTS)
    list(reader.feed(streamed({"index": 0, "delta": {"role": "assistant"}}) + b"data: [DONE]\n\n"))
    with pytest.raises(MalformedReply, match="the reply is empty"):
        list(reader.finish())


ODD_CALLS: tuple[Any, ...] = ({"id": "1"}, 5, "no", [5], [{"index": []}], [{"function": "f"}])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        *(({"index": []}, {}), ({"index": {}}, {}), ({"index": "first"}, {})),
        *(({"finish_reason": 5}, {}), ({"finish_reason": ["stop"]}, {})),
        *(({}, {"tool_calls": calls}) for calls in ODD_CALLS),
    ],
    ids=str,
)
def test_a_choice_that_a_client_could_not_read_is_malformed(fields: dict[str, Any], said: dict[str, Any]) -> None:
    """Also where it is not the first."""
    choice: dict[str, Any] = {**fields}
    good: dict[str, Any] = {"content": "A", "role": "assistant"}
    for body in (
        {"choices": [{"message": good | said, **choice}]},
        {"choices": [{"message": good}, {"message": good | said, **choice}]},
    ):
        with pytest.raises(MalformedReply, match="a choice that cannot be read"):
            read_completion(FAULTS, orjson.dumps(body), CLIENTS)
        assert read_completion(FAULTS, orjson.dumps(body), JOBS).text == "A"
    with pytest.raises(MalformedReply, match="a choice that cannot be read"):
        list(StreamReader(FAULTS, CLIENTS).feed(streamed({"delta": good | said, **choice})))


@pytest.mark.parametrize("said", ["A", 5, ["A"]])
def test_a_second_choice_that_is_no_message_is_malformed(said: object) -> None:
    body = {"choices": [{"message": {"content": "A"}}, {"message": said}]}
    with pytest.raises(MalformedReply, match="a choice that cannot be read"):
        read_completion(FAULTS, orjson.dumps(body), CLIENTS)
    with pytest.raises(MalformedReply, match="a choice that cannot be read"):
        list(StreamReader(FAULTS, CLIENTS).feed(streamed({"delta": said})))


def test_the_key_is_taken_out_of_whatever_a_client_gets() -> None:
    body = whole(content=f"It is {KEY}", reasoning_content=f"<{KEY}>", tool_calls=[{"id": KEY}])
    assert KEY in body.decode()
    assert KEY not in orjson.dumps(read_completion(FAULTS, body, CLIENTS).reply).decode()
    reader = StreamReader(FAULTS)
    event = {"choices": [{"index": 0, "delta": {"reasoning_content": KEY}, "finish_reason": None}]}
    (delta,) = reader.feed(b"data: " + orjson.dumps(event) + b"\n\n")
    assert delta.event == {"choices": [{"index": 0, "delta": {"reasoning_content": "***"}, "finish_reason": None}]}


def test_a_whole_reply_streams_as_one_event_with_its_tool_calls_numbered() -> None:
    body = whole("tool_calls", tool_calls=[TOOL_CALL, TOOL_CALL], reasoning_content="hm")
    first, last = completion_deltas(read_completion(FAULTS, body, CLIENTS))
    assert first.event is not None
    assert (first.text, first.event["object"], first.event["system_fingerprint"]) == ("", "chat.completion.chunk", "fp")
    numbered = [{"index": 0, **TOOL_CALL}, {"index": 1, **TOOL_CALL}]
    delta = {"role": "assistant", "content": None, "tool_calls": numbered, "reasoning_content": "hm"}
    choice = {"index": 0, "delta": delta, "finish_reason": "tool_calls"}
    assert first.event["choices"] == [choice, choice]
    assert last == Delta("", "tool_calls", Usage(1, 2), {"usage": orjson.loads(body)["usage"]})


def of(**delta: Any) -> Delta:
    return Delta(delta.get("content") or "", event={"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})


FINISHED = Delta("", event={"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
ROLE = of(role="assistant", content="")


@pytest.mark.parametrize(
    ("delta", "counts"),
    [
        *((of(content="B"), True), (Delta("B"), True), (FINISHED, True), (Delta("", "stop"), True)),
        *((of(reasoning_content="hm"), True), (of(tool_calls=[{"index": 0}]), True), (of(refusal="no"), True)),
        *((ROLE, False), (of(), False), (of(content=None, tool_calls=None), False), (Delta(""), False)),
        *((Delta("", event={"choices": []}), False), (Delta("", event={"choices": [None]}), False)),
    ],
)
def test_a_piece_counts_where_it_is_or_ends_an_answer(delta: Delta, counts: bool) -> None:
    assert is_substance(delta) is counts


@pytest.mark.parametrize("begins", [of(content="B"), of(reasoning_content="hm"), of(tool_calls=[{"index": 0}])])
async def test_a_stream_has_started_at_the_first_piece_of_an_answer(begins: Delta) -> None:
    sent = [ROLE, of(), begins, of(content="C"), Delta("", "stop")]

    async def deltas() -> AsyncGenerator[Delta, None]:
        for delta in sent:
            yield delta

    first, rest = await start_stream(deltas())
    assert first == sent[:3]
    assert [delta async for delta in rest] == sent[3:]


async def test_a_stream_that_fails_before_its_first_piece_has_not_started() -> None:
    async def deltas() -> AsyncGenerator[Delta, None]:
        yield ROLE
        raise MalformedReply("m", "the reply broke off")

    with pytest.raises(MalformedReply):
        await start_stream(deltas())
