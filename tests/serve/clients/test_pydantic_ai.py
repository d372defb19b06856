"""Pydantic AI against the endpoint: agents with tools and typed outputs, used as its documentation shows."""

from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.serve.clients.upstream import ATLAS, BOREAS, Upstream

DRAIN = "Can the node be drained tonight?"


class Verdict(BaseModel):
    """Whether something is safe to do."""

    safe: bool
    reasons: list[str]


@pytest.fixture
def model(base_url: str) -> OpenAIChatModel:
    return OpenAIChatModel("coe", provider=OpenAIProvider(base_url=base_url, api_key="unused"))


def watchman(model: OpenAIChatModel, output: Any) -> tuple[Agent[None, Any], list[tuple[str, object]]]:
    """An agent with two tools, and the list of their calls."""
    called: list[tuple[str, object]] = []
    agent = Agent(model, instructions="Look before you answer.", output_type=output)

    @agent.tool_plain
    def count_pods(node: str) -> int:
        """Count the pods of a node."""
        called.append(("count_pods", node))
        return 12

    @agent.tool_plain
    def disruption_budget(app: str, minimum: int) -> str:
        """Read the disruption budget of an app."""
        called.append(("disruption_budget", (app, minimum)))
        return "one may go"

    return agent, called


CALLS = [("count_pods", "node"), ("disruption_budget", ("app", 3))]
VERDICT = Verdict(safe=True, reasons=["reasons", "reasons"])


async def test_tools(model: OpenAIChatModel, upstream: Upstream) -> None:
    agent, called = watchman(model, str)
    result = await agent.run(DRAIN)
    assert (result.output, called) == (f"{ATLAS} says: {DRAIN}", CALLS)
    assert len(upstream.asked(ATLAS)) == 3
    follow_up = await agent.run("why?", message_history=result.all_messages())
    assert follow_up.output == f"{ATLAS} says: why?"
    assert not upstream.asked(BOREAS)


@pytest.mark.parametrize("output", [Verdict, NativeOutput(Verdict)], ids=["by tool", "by schema"])
async def test_output_types(model: OpenAIChatModel, output: Any) -> None:
    agent, called = watchman(model, output)
    result = await agent.run(DRAIN)
    assert (result.output, called) == (VERDICT, CALLS)


async def test_streamed(model: OpenAIChatModel) -> None:
    agent, called = watchman(model, str)
    async with agent.run_stream(DRAIN) as result:
        pieces = [piece async for piece in result.stream_text(delta=True)]
    assert ("".join(pieces), called) == (f"{ATLAS} says: {DRAIN}", CALLS)
