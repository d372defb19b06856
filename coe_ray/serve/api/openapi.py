"""The OpenAPI document at `/openapi.json`.

Its operations are listed here, as the handlers read and write JSON themselves. Tests hold it against the routes and
against real responses.
"""

import re
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from coe_ray.core.types import Outcome
from coe_ray.serve.api.completions import CompletionRequest
from coe_ray.serve.api.embeddings import EmbeddingsRequest
from coe_ray.serve.api.openai import DEADLINE, SESSION, TASK, ChatRequest
from coe_ray.serve.api.responses_api import ResponsesRequest
from coe_ray.serve.api.schemas import (
    ChatCompletion,
    Decision,
    EmbeddingList,
    Error,
    Health,
    LeaderboardContent,
    LeaderboardList,
    ListedModel,
    ModelList,
    ResponseObject,
    RowList,
    RunList,
    RunQuestion,
    TextCompletion,
)
from coe_ray.serve.console.run_rows import RowFilter
from coe_ray.serve.console.run_store import WholeRun

Json = dict[str, Any]

_SCHEMAS = "#/components/schemas/"
_MODELS: tuple[type[BaseModel], ...] = (
    *(ChatRequest, ChatCompletion, Decision, ModelList, LeaderboardContent, Health, Error),
    *(CompletionRequest, TextCompletion, ResponsesRequest, ResponseObject, EmbeddingsRequest, EmbeddingList),
    *(LeaderboardList, RunList, WholeRun, RowList, RunQuestion),
)
_DENIED = {
    "401": "no API key, or a wrong one",
    "429": "over the limits of this API key; Retry-After says when to try again",
}
_CALL_ERRORS = {
    "400": "the request is wrong, no expert can read it, or it is too long for the model",
    "404": "no such model",
    "408": "the body took too long to arrive",
    "413": "the body is too large, or becomes so when it is decompressed",
    "415": "the body is compressed in another way than gzip",
    "422": "the provider refuses the request",
    "429": "over the limits of this API key, or of the provider's; Retry-After says when to try again",
    "502": "every expert that could answer failed",
    "503": "everything that could answer is full; Retry-After says when to try again",
    "504": "no answer within the deadline",
}
_MISSING = {"404": "not found"}
_UNREADABLE = {"503": "files that cannot be read now"}
_REQUEST_HEADERS: list[Json] = [
    {"name": name, "in": "header", "description": description, "schema": schema}
    for name, description, schema in (
        (
            DEADLINE,
            "seconds that the answer, or a stream's first piece, may take",
            {"type": "number", "exclusiveMinimum": 0},
        ),
        (TASK, "the question's task, percent-encoded: it is not classified then", {"type": "string"}),
        (SESSION, "name of a conversation: what goes on in it stays with its expert", {"type": "string"}),
    )
]
_ROUTE_HEADERS = {
    "x-coe-version": "version of the profile that answered",
    "x-coe-expert": "the expert that answered, percent-encoded",
    "x-coe-task": "the task, percent-encoded; of a routed answer",
    "x-coe-leaderboard": "version of the leaderboard; of a routed answer",
}


def openapi_document() -> Json:
    """The whole document, ready for JSON."""
    _, schemas = models_json_schema([(model, "validation") for model in _MODELS], ref_template=_SCHEMAS + "{model}")
    key = {"type": "http", "scheme": "bearer", "description": "see `coe-ray keys`"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "coe_ray", "version": "1"},
        "paths": {**_answers(), **_reads(), "/healthz": {"get": _health()}},
        "components": {"schemas": schemas["$defs"], "securitySchemes": {"key": key}},
        "security": [{"key": []}],
    }


def _answers() -> Json:
    """The routes that are given a question."""
    answered = "the answer; server-sent events where `stream` is true"
    table: list[tuple[str, str, type[BaseModel], type[BaseModel]]] = [
        ("/v1/chat/completions", "chat", ChatRequest, ChatCompletion),
        ("/v1/completions", "completions", CompletionRequest, TextCompletion),
        ("/v1/responses", "responses", ResponsesRequest, ResponseObject),
    ]
    paths: Json = {"/v1/route": {"post": _post("route", ChatRequest, _response("the route alone", Decision))}}
    for path, name, request, answer in table:
        response = _response(answered, answer)
        response["content"]["text/event-stream"] = {"schema": {"type": "string"}}
        paths[path] = {"post": _post(name, request, response)}
    embedded = _post("embeddings", EmbeddingsRequest, _response("the texts' vectors, in their order", EmbeddingList))
    del embedded["responses"]["200"]["headers"]  # nothing is routed
    embedded["parameters"] = [each for each in embedded["parameters"] if each["name"] == DEADLINE]
    paths["/v1/embeddings"] = {"post": embedded}
    return paths


def _post(name: str, request: type[BaseModel], response: Json) -> Json:
    headers = {name: {"description": text, "schema": {"type": "string"}} for name, text in _ROUTE_HEADERS.items()}
    body = {"required": True, "content": _json(request)}
    operation = _operation(name, {**response, "headers": headers}, _CALL_ERRORS)
    return {**operation, "requestBody": body, "parameters": _REQUEST_HEADERS}


def _reads() -> Json:
    """The routes that are only read: models, leaderboards and bench runs."""
    no_board, bad_filter = {"404": "there is no leaderboard"}, {"400": "a filter or page that does not exist"}
    lost = _MISSING | _UNREADABLE
    table: list[tuple[str, str, type[BaseModel], str, dict[str, str]]] = [
        ("/v1/models", "models", ModelList, "`coe`, every expert and the embedding model", {}),
        ("/v1/models/{model}", "model", ListedModel, "one of them", {"404": "no such model"}),
        ("/v1/leaderboard", "leaderboard", LeaderboardContent, "the scores that routes are chosen by", no_board),
        ("/v1/leaderboards", "leaderboards", LeaderboardList, "the versions that can be read", {}),
        ("/v1/leaderboards/{version}", "leaderboard_version", LeaderboardContent, "one of them", _MISSING),
        ("/v1/runs", "runs", RunList, "the bench runs, the latest first", _UNREADABLE),
        ("/v1/runs/{run}", "run", WholeRun, "its progress or its results", lost),
        ("/v1/runs/{run}/rows", "rows", RowList, "a page of a run's rows", lost | bad_filter),
        ("/v1/runs/{run}/rows/{question}", "row", RunQuestion, "one question of a run", lost),
    ]
    paths: Json = {}
    for path, name, model, description, errors in table:
        operation = _operation(name, _response(description, model), errors)
        parameters = [_parameter(each, "path", {"type": "string"}) for each in re.findall(r"{(\w+)}", path)]
        if name == "rows":
            parameters += _filters()
        paths[path] = {"get": operation | ({"parameters": parameters} if parameters else {})}
    return paths


def _filters() -> list[Json]:
    """The fields of `RowFilter`. Not its own schema: that allows null for what may be left out, as no query can."""
    schemas: dict[str, Json] = {name: {"type": "string"} for name in ("task", "expert", "system")}
    schemas["outcome"] = {"enum": list(get_args(Outcome))}
    properties = RowFilter.model_json_schema()["properties"]
    for name in ("offset", "limit"):
        schemas[name] = {key: properties[name][key] for key in ("type", "minimum", "maximum", "default")}
    return [_parameter(name, "query", schema) for name, schema in schemas.items()]


def _health() -> Json:
    responses = {
        "200": _response("everything that the endpoint depends on answers", Health),
        "503": _response("something that the endpoint depends on does not answer", Health),
    }
    return {"operationId": "health", "security": [], "responses": responses}


def _operation(name: str, response: Json, errors: dict[str, str]) -> Json:
    failures = {status: _response(text, Error) for status, text in sorted((_DENIED | errors).items())}
    default = _response("any other error", Error)
    return {"operationId": name, "responses": {"200": response, **failures, "default": default}}


def _parameter(name: str, place: str, schema: Json) -> Json:
    return {"name": name, "in": place, "schema": schema} | ({"required": True} if place == "path" else {})


def _response(description: str, model: type[BaseModel]) -> Json:
    return {"description": description, "content": _json(model)}


def _json(model: type[BaseModel]) -> Json:
    return {"application/json": {"schema": {"$ref": _SCHEMAS + model.__name__}}}
