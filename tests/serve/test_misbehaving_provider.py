"""A provider that misbehaves: no client gets a 200 without a model's answer, and no failure costs call upon call."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import orjson
import pytest
from openai import OpenAI

from coe_ray.core.fail_fast import MODEL_ATTEMPTS, REQUEST_ATTEMPTS
from coe_ray.routing.leaderboard import Leaderboard
from tests.support.chat_client import CHAT, error_of, user
from tests.support.endpoint import NoIndex, make_endpoint, serve_app
from tests.support.profiles import api, content, rule, scripted, write_profile
from tests.support.upstream import (
    DONE,
    USAGE,
    ChatRequest,
    FakeUpstream,
    Reply,
    answer,
    event,
    fault,
    in_bytes,
    piece,
    streamed,
)

EXPERTS = ("ada", "bob", "eve")
TASK = "Build"
REQUESTS = 104
SHARE = 0.3
"""Share of a provider's calls that go wrong."""

FAULTS = (
    *("e500", "e429", "context", "empty", "null", "cut", "error", "bad json"),
    *("comment", "split", "length", "filter"),  # these are answers
)

TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]


class MisbehavingProvider(FakeUpstream):
    """Answers each request by its number, in words or by a tool call; a part of its calls go wrong, by a seed."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: Counter[str] = Counter()
        self._calls: Counter[tuple[str, str]] = Counter()

    def respond(self, request: ChatRequest) -> Reply:
        number = number_of(request.body["messages"])
        self._calls[number, request.model] += 1
        # By request and try, so that the order in which they arrive does not matter.
        chance = random.Random(f"{number} {request.model} {self._calls[number, request.model]}")
        name = chance.choice(FAULTS) if chance.random() < SHARE else ""
        self.faults[name] += 1
        return misbehave(name, request, number)


class DownProvider(FakeUpstream):
    """Fails every call."""

    def respond(self, _: ChatRequest) -> Reply:
        return fault(500, "out of order")


def number_of(messages: list[dict[str, Any]]) -> str:
    """The number in the first message: a conversation keeps it."""
    return str(messages[0]["content"]).split()[-1]


def misbehave(name: str, request: ChatRequest, number: str) -> Reply:
    match name:
        case "e500":
            return fault(500, "out of order")
        case "e429":
            return fault(429, "slow down", headers={"Retry-After": "1"})
        case "context":
            return fault(400, "This model's maximum context length is 8192 tokens.", "context_length_exceeded")
    uses_tool = "tools" in request.body and request.body["messages"][-1]["role"] == "user"
    reason = {"length": "length", "filter": "content_filter"}.get(name, "tool_calls" if uses_tool else "stop")
    arguments = orjson.dumps({"number": number}).decode()
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": arguments}}
    words = ("it ", "is ", "number ", number)
    if request.stream:
        pieces = [piece(tool_calls=[call])] if uses_tool else [piece(content=word) for word in words]
        return misbehave_in_stream(name, [piece(role="assistant", content=""), *pieces], reason)
    whole = answer(None, reason, tool_calls=[call]) if uses_tool else answer("".join(words), reason)
    match name:
        case "empty":
            return answer("")
        case "null":
            return answer(None)
        case "cut":
            return Reply(pieces=(whole.body[:50],), headers={"Content-Type": "application/json"}, cut=True)
        case "error":
            return Reply(body=fault(500, "engine died").body)
        case "bad json":
            return Reply(body=whole.body[:-9])
    return whole


def misbehave_in_stream(name: str, pieces: list[bytes], reason: str) -> Reply:
    end = [piece(reason), USAGE, DONE]
    match name:
        case "empty" | "null":
            return streamed(piece(role="assistant", content="" if name == "empty" else None), piece("stop"), DONE)
        case "cut":
            return streamed(*pieces[:3], cut=True)
        case "error":
            return streamed(*pieces[:3], event({"error": {"message": "engine died", "code": 500}}))
        case "bad json":
            return streamed(*pieces[:3], b'data: {"choices": [{"delta": {"content": "x"\n\n', *end)
        case "comment":
            return streamed(*pieces[:2], b": still here\n\nevent: ping\ndata: {}\n\n", *pieces[2:], *end)
        case "split":
            return streamed(*in_bytes([*pieces, *end], 7))
    return streamed(*pieces, *end)


def write_world(folder: Path, upstream: FakeUpstream) -> Path:
    scores = [(expert, TASK, 9 - place, 10) for place, expert in enumerate(EXPERTS)]
    folder.mkdir(exist_ok=True)
    Leaderboard.from_scores(scores).save(folder / "board.json")
    changes = {
        "models": {"sorter": scripted(rule(".", f"Task: {TASK}"))}
        | {name: api(upstream.base_url, name) for name in EXPERTS},
        "experts": {name: {"model": name} for name in EXPERTS},
        "leaderboard": {"path": "board.json"},
        "access": {"keys": False},
    }
    return write_profile(folder / "profile.yaml", content(**changes))


def mixed_requests() -> Iterator[dict[str, Any]]:
    """Plain and streamed in turn: questions, tools, tool results, follow-ups, and experts by name."""
    for number in range(REQUESTS):
        ask = user(f"What is the number of question {number}")
        use = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
        result = {"role": "tool", "tool_call_id": "call_1", "content": "found"}
        kinds: list[dict[str, Any]] = [
            {"messages": ask},
            {"messages": ask, "tools": TOOLS},
            {"messages": [*ask, {"role": "assistant", "content": None, "tool_calls": [use]}, result], "tools": TOOLS},
            {"messages": [*ask, {"role": "assistant", "content": "one"}, *user("and why?")]},
        ]
        model = EXPERTS[number % 3] if number % 5 == 0 else "coe"
        yield {"model": model, "stream": number % 2 == 1, **kinds[number // 2 % 4]}


def said_in(choices: list[dict[str, Any]], part: str) -> str:
    """The words and tool arguments of choices, of a message or its deltas."""
    parts = [choice[part] for choice in choices]
    calls = [call["function"]["arguments"] for each in parts for call in each.get("tool_calls") or ()]
    return "".join([each.get("content") or "" for each in parts] + calls)


def judge(request: dict[str, Any], response: httpx.Response) -> str:
    """`answered`, `broken` (a stream that says so) or `refused`. Anything else is a fault of the endpoint's."""
    if response.status_code != 200:
        assert response.status_code in (400, 429, 502, 503, 504), response.text
        assert error_of(response)["message"]
        return "refused"
    if not request["stream"]:
        choices, part = response.json()["choices"], "message"
    else:
        *events, last = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
        if last != "[DONE]":
            assert orjson.loads(last)["error"]["message"]
            return "broken"
        choices, part = [choice for each in events for choice in orjson.loads(each)["choices"]], "delta"
    number = number_of(request["messages"])
    assert said_in(choices, part) in (f"it is number {number}", f'{{"number":"{number}"}}')
    assert sum(bool(each["finish_reason"]) for each in choices) == 1, response.text
    return "answered"


@pytest.fixture
async def provider() -> AsyncIterator[MisbehavingProvider]:
    async with MisbehavingProvider().running() as provider:
        yield provider


async def test_no_200_is_without_a_models_answer(provider: MisbehavingProvider, tmp_path: Path) -> None:
    places = asyncio.Semaphore(12)

    async with make_endpoint(write_world(tmp_path, provider), make_retriever=NoIndex).client() as client:

        async def send(request: dict[str, Any]) -> str:
            async with places:
                return judge(request, await client.post(CHAT, json=request))

        outcomes = Counter(await asyncio.gather(*map(send, mixed_requests())))
    assert set(provider.faults) == {"", *FAULTS}
    assert outcomes["answered"] >= 0.8 * REQUESTS, outcomes


@pytest.mark.parametrize(("model", "calls"), [("ada", MODEL_ATTEMPTS), ("coe", REQUEST_ATTEMPTS)])
def test_openais_client_does_not_multiply_our_tries(tmp_path: Path, model: str, calls: int) -> None:
    """The client tries a 5xx three times by itself unless it is told that it is in vain."""
    with (
        DownProvider().started() as provider,
        serve_app(make_endpoint(write_world(tmp_path, provider), make_retriever=NoIndex).app) as url,
        OpenAI(base_url=f"{url}/v1", api_key="unused") as client,
    ):
        assert client.max_retries == 2
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(model=model, messages=user("What is the number of question 1"))
    assert caught.value.status_code == 502
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert 1 <= provider.served <= calls
