"""OpenAI's Python client against the endpoint, used as its documentation shows."""

import json
from collections.abc import Iterator
from typing import Any, Literal

import httpx2
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionToolParam
from pydantic import BaseModel

from tests.serve.clients.upstream import ATLAS, BOREAS, Upstream
from tests.support.chat_client import ask, coe_of, stream, stream_text, text_of, user

NODES = "Which node of pool blue is short of disk?"


def tool(name: str, **parameters: str) -> ChatCompletionToolParam:
    """A function whose parameters have these types."""
    properties = {parameter: {"type": kind} for parameter, kind in parameters.items()}
    schema: dict[str, object] = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": f"{name} of a node", "parameters": schema}}


def run_agent(
    client: OpenAI, messages: list[Any], tools: list[ChatCompletionToolParam], *, streamed: bool
) -> list[dict[str, Any]]:
    """The loop of an agent over MCP servers, until the model calls no more tools: the routes of its requests."""
    routes = []
    while True:
        asked: dict[str, Any] = {"model": "coe", "messages": messages, "tools": tools, "parallel_tool_calls": False}
        if streamed:
            with client.chat.completions.stream(**asked) as events:
                *_, last = (event.chunk for event in events if event.type == "chunk")
                completion: ChatCompletion = events.get_final_completion()
            routes.append(coe_of(last))
        else:
            completion = client.chat.completions.create(**asked)
            routes.append(coe_of(completion))
        message = completion.choices[0].message
        messages.append(message)
        if not message.tool_calls:
            return routes
        for call in message.tool_calls:
            assert call.type == "function"
            result = json.dumps({"alerts of": call.function.name, "given": json.loads(call.function.arguments)})
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


class Repair(BaseModel):
    """What shall be done."""

    node: str
    steps: list[str]
    priority: Literal["low", "high"]
    minutes: int


@pytest.fixture
def client(base_url: str, http: httpx2.Client) -> Iterator[OpenAI]:
    with OpenAI(base_url=base_url, api_key="unused", max_retries=0, http_client=http) as client:
        yield client


class TestChat:
    def test_plain(self, client: OpenAI) -> None:
        completion = ask(client, NODES)
        assert text_of(completion) == f"{ATLAS} says: {NODES}"
        assert (completion.choices[0].message.role, completion.choices[0].finish_reason) == ("assistant", "stop")
        assert completion.usage is not None
        assert completion.usage.total_tokens == 10
        assert coe_of(completion)["task"] == "Clusters"

    def test_stream(self, client: OpenAI) -> None:
        chunks = stream(client, NODES)
        assert stream_text(chunks) == f"{ATLAS} says: {NODES}"
        assert [chunk.choices[0].delta.role for chunk in chunks if chunk.choices[0].delta.role] == ["assistant"]

    def test_reasoning_is_passed_on(self, client: OpenAI) -> None:
        message = ask(client, f"{NODES} Please think.").choices[0].message
        assert message.to_dict()["reasoning_content"] == "first the nodes"
        chunks = stream(client, f"{NODES} Please think.")
        thought = [chunk.choices[0].delta.to_dict().get("reasoning_content", "") for chunk in chunks]
        assert "".join(map(str, thought)) == "first the nodes"
        assert stream_text(chunks).startswith(ATLAS)

    def test_stream_helper_puts_the_message_together(self, client: OpenAI) -> None:
        with client.chat.completions.stream(model="coe", messages=user(NODES)) as events:
            kinds = {event.type for event in events}
            message = events.get_final_completion().choices[0].message
        assert {"chunk", "content.delta", "content.done"} <= kinds
        assert (message.role, message.content) == ("assistant", f"{ATLAS} says: {NODES}")

    async def test_async(self, base_url: str) -> None:
        async with AsyncOpenAI(base_url=base_url, api_key="unused", max_retries=0) as client:
            plain = await client.chat.completions.create(model="coe", messages=user(NODES))
            streamed = await client.chat.completions.create(model="coe", messages=user(NODES), stream=True)
            assert stream_text([chunk async for chunk in streamed]) == text_of(plain)
            async with client.chat.completions.stream(model="coe", messages=user(NODES)) as events:
                final = await events.get_final_completion()
        assert (final.choices[0].message.role, text_of(plain)) == ("assistant", final.choices[0].message.content)


class TestTools:
    TOOLS = (tool("list_nodes", pool="string"), tool("disk_usage", node="string", days="integer"))

    def test_streamed_calls_are_put_together(self, client: OpenAI) -> None:
        messages = user(f"{NODES} Look at all at once.")
        with client.chat.completions.stream(model="coe", messages=messages, tools=self.TOOLS) as events:
            message = events.until_done().get_final_completion().choices[0].message
        assert message.role == "assistant"
        assert message.content is None
        calls = [
            (call.id, call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or ()
        ]
        assert calls == [
            ("call_list_nodes", "list_nodes", {"pool": "pool"}),
            ("call_disk_usage", "disk_usage", {"node": "node", "days": 3}),
        ]

    @pytest.mark.parametrize("streamed", [False, True])
    def test_agent_loop_stays_with_one_expert(
        self, client: OpenAI, upstream: Upstream, sent: list[dict[str, Any]], *, streamed: bool
    ) -> None:
        """Several rounds of tools, whose results speak of alerts (Boreas' task), and a follow-up that names no task."""
        messages: list[Any] = [
            {"role": "system", "content": "You look after pool blue. Call tools until you know."},
            *user(NODES),
        ]
        tools = [*self.TOOLS, tool("read_events", node="string", since="string")]
        routes = run_agent(client, messages, tools, streamed=streamed)
        messages += user("and why?")
        routes += run_agent(client, messages, tools, streamed=streamed)
        assert messages[-1].content == f"{ATLAS} says: and why?"
        assert len(routes) == 8  # three rounds and an answer, twice
        assert {route["expert"] for route in routes} == {"atlas"}
        assert [route["classifier"]["by"] for route in routes] == ["llm"] + ["conversation"] * 7
        assert not upstream.asked(BOREAS)
        added = {"temperature": 0.0} | ({"stream_options": {"include_usage": True}} if streamed else {})
        assert upstream.asked(ATLAS) == [{**body, "model": ATLAS, **added} for body in sent]

    def test_tools_that_shall_not_be_called(self, client: OpenAI) -> None:
        completion = ask(client, NODES, tools=self.TOOLS, tool_choice="none")
        assert text_of(completion) == f"{ATLAS} says: {NODES}"


class TestParse:
    def test_answer_is_an_object(self, client: OpenAI) -> None:
        completion = client.chat.completions.parse(model="coe", messages=user(NODES), response_format=Repair)
        repair = Repair(node="node", steps=["steps", "steps"], priority="high", minutes=3)
        assert completion.choices[0].message.parsed == repair

    def test_streamed_answer_is_an_object(self, client: OpenAI) -> None:
        with client.chat.completions.stream(model="coe", messages=user(NODES), response_format=Repair) as events:
            parsed = events.get_final_completion().choices[0].message.parsed
        assert parsed is not None
        assert parsed.priority == "high"

    def test_json_object(self, client: OpenAI) -> None:
        assert json.loads(text_of(ask(client, NODES, response_format={"type": "json_object"}))) == {"healthy": True}
