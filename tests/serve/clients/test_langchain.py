"""LangChain against the endpoint: its chat model for OpenAI, used as its documentation shows."""

from typing import Literal

import pytest
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field, SecretStr

from tests.serve.clients.upstream import ATLAS, Upstream

ALERT = "Which node sent the alert about its clock?"


class ClockSkew(BaseModel):
    """Tell the skew of a node's clock."""

    node: str = Field(description="the node's name")
    unit: Literal["ms", "s"]


@pytest.fixture
def model(base_url: str) -> ChatOpenAI:
    return ChatOpenAI(model="coe", base_url=base_url, api_key=SecretStr("unused"), max_retries=0)


def test_plain_and_streamed(model: ChatOpenAI) -> None:
    answer = model.invoke([("system", "Be brief."), ("human", ALERT)])
    assert answer.content == f"{ATLAS} says: {ALERT}"
    pieces = list(model.stream(ALERT))
    assert len(pieces) > 3
    assert "".join(str(piece.content) for piece in pieces) == answer.content


async def test_async(model: ChatOpenAI) -> None:
    assert (await model.ainvoke(ALERT)).content == f"{ATLAS} says: {ALERT}"


def test_bind_tools(model: ChatOpenAI, upstream: Upstream) -> None:
    bound = model.bind_tools([ClockSkew])
    call = bound.invoke(ALERT)
    (called,) = call.tool_calls
    assert (called["name"], called["args"]) == ("ClockSkew", {"node": "node", "unit": "s"})
    result = {"role": "tool", "tool_call_id": called["id"], "content": "40 s behind"}
    answer = bound.invoke([{"role": "user", "content": ALERT}, call, result])
    assert answer.content == f"{ATLAS} says: {ALERT}"
    assert [message["role"] for message in upstream.asked(ATLAS)[-1]["messages"]] == ["user", "assistant", "tool"]


def test_streamed_tool_calls(model: ChatOpenAI) -> None:
    whole, *rest = model.bind_tools([ClockSkew]).stream(ALERT)
    for piece in rest:
        whole += piece  # type: ignore[assignment]  # the sum of two pieces is one
    (called,) = whole.tool_calls
    assert (called["name"], called["args"]) == ("ClockSkew", {"node": "node", "unit": "s"})


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_with_structured_output(model: ChatOpenAI, method: Literal["json_schema", "function_calling"]) -> None:
    skew = model.with_structured_output(ClockSkew, method=method).invoke(ALERT)
    assert skew == ClockSkew(node="node", unit="s")
