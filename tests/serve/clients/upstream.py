"""Fake upstream of the clients' tests: two models that call tools and keep to schemas as hosted ones do, and a sorter.

A model calls the tools of a request in the order in which they are listed, one a round ("at once": all in one), and
then answers. "think" in the question lets it reason first.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from tests.support.upstream import ChatRequest, FakeUpstream, Reply, completion, tool_calls

SORTER, ATLAS, BOREAS = "sorter-1", "atlas-1", "boreas-1"


class Upstream(FakeUpstream):
    """Answers by what the request has: tools, a schema, or only text."""

    def respond(self, request: ChatRequest) -> Reply:
        if request.model == SORTER:
            question = request.prompt.rpartition("Question:")[2]
            return completion(request, f"**Task: {'Clusters' if 'node' in question else 'Alerts'}**")
        question = _text(_last_of_user(request.body["messages"]))
        if tools := _tools_to_call(request.body, at_once="at once" in question):
            return tool_calls(request, tools)
        form = request.body.get("response_format") or {"type": "text"}
        if form["type"] == "json_schema":
            return completion(request, orjson.dumps(_example(form["json_schema"]["schema"])).decode())
        if form["type"] == "json_object":
            return completion(request, '{"healthy": true}')
        return completion(
            request, f"{request.model} says: {question}", reasoning="first the nodes" if "think" in question else ""
        )

    def asked(self, model: str) -> list[dict[str, Any]]:
        """The requests of one model, in order."""
        return [body for body in self.bodies if body["model"] == model]


def _last_of_user(messages: list[dict[str, Any]]) -> dict[str, Any]:
    return next(message for message in reversed(messages) if message["role"] == "user")


def _text(message: Mapping[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


def _tools_to_call(body: Mapping[str, Any], *, at_once: bool) -> dict[str, object]:
    """The tools that were not called since the user spoke, with arguments by their schemas."""
    choice, messages = body.get("tool_choice"), body["messages"]
    if choice == "none":
        return {}
    since = messages[messages.index(_last_of_user(messages)) :]
    called = {call["function"]["name"] for message in since for call in message.get("tool_calls") or ()}
    functions = [tool["function"] for tool in body.get("tools") or ()]
    if isinstance(choice, Mapping):
        functions = [each for each in functions if each["name"] == choice["function"]["name"]]
    left = {each["name"]: _example(each["parameters"]) for each in functions if each["name"] not in called}
    return left if at_once else dict(list(left.items())[:1])


def _example(schema: Mapping[str, Any], name: str = "", root: Mapping[str, Any] | None = None) -> Any:
    """A value that the schema allows; a text is its property's name."""
    root = root or schema
    if reference := schema.get("$ref"):
        return _example(root["$defs"][reference.rpartition("/")[2]], name, root)
    if "enum" in schema:
        return schema["enum"][-1]
    match schema["type"]:
        case "object":
            return {key: _example(each, key, root) for key, each in schema["properties"].items()}
        case "array":
            return [_example(schema["items"], name, root)] * 2
        case "integer" | "number":
            return 3
        case "boolean":
            return True
    return name
