"""The published document: it names every route, leads nowhere, and says what requests and errors really look like."""

import re
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # its stubs are a package of their own
import orjson
import pytest
import schemathesis

from coe_ray.serve.api.application import Endpoint
from coe_ray.serve.api.openai import RequestError, read_request
from coe_ray.serve.api.openapi import openapi_document

DOCUMENT = openapi_document()
HI = {"role": "user", "content": "hi"}


def valid(name: str, content: object) -> bool:
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    return bool(jsonschema.Draft202012Validator(schema).is_valid(content))


def test_it_is_valid_openapi_and_every_schema_is_one() -> None:
    schemathesis.openapi.from_dict(DOCUMENT).validate()
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_route_is_in_it_and_nothing_else() -> None:
    routes = object.__new__(Endpoint).routes()
    served = {(route.path_format, each.lower()) for route in routes for each in (route.methods or set()) - {"HEAD"}}
    described = {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert served == described | {("/openapi.json", "get")}


def test_every_reference_leads_somewhere() -> None:
    for name in re.findall(r'"\$ref":"([^"]*)"', orjson.dumps(DOCUMENT).decode()):
        assert name.removeprefix("#/components/schemas/") in DOCUMENT["components"]["schemas"]


def test_everything_but_health_asks_for_a_key() -> None:
    assert DOCUMENT["security"] == [{"key": []}]
    assert DOCUMENT["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    operations = {(path, name): each for path, names in DOCUMENT["paths"].items() for name, each in names.items()}
    assert [place for place, each in operations.items() if "security" in each] == [("/healthz", "get")]


@pytest.mark.parametrize(
    "content",
    [
        {"messages": [HI]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}], "stop": "a", "temperature": None},
        {"messages": [{"role": "system", "content": "be"}, HI], "stop": ["a"], "n": 1, "stream": True, "model": "x"},
        {"messages": [HI], "stream_options": {"include_usage": True, "more": 1}, "max_tokens": 1, "top_p": 1},
        {"messages": []},
        {"messages": [{"role": "system", "content": "hi"}]},
        {"messages": [HI], "tools": [], "n": 2, "stop": [1], "top_p": 0, "top_k": 5},
        {"messages": [HI], "tools": "f"},
        {"messages": [HI], "tools": [{}] * 513},
        {"messages": [HI], "response_format": "json"},
        {"messages": [HI], "stream_options": {"include_usage": "x"}},
        {"messages": [HI, {"role": "user", "content": None}]},
        {"messages": [HI, {"role": "user", "content": 5}]},
        {"messages": [HI, {"role": "user", "content": [{"type": "text", "text": ""}] * 513}]},
        {"messages": [HI, {"role": "assistant", "content": [{"text": "no type"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
        {"messages": [HI, {"role": "tool", "content": "12", "tool_call_id": "1"}, {"role": "function"}]},
        {"messages": [HI, {"role": "critic"}]},
        {"messages": [{**HI, "extra": 1}]},
        {"model": "coe"},
    ],
)
def test_what_it_says_of_a_request_is_what_is_taken(content: dict[str, Any]) -> None:
    try:
        read_request(orjson.dumps(content))
    except RequestError:
        assert not valid("ChatRequest", content)
    else:
        assert valid("ChatRequest", content)
