"""The OpenAPI document that the endpoint publishes at `/openapi.json`.

Written here, as the handlers read bodies and write answers themselves, with orjson, and so say nothing of either's
form. The tests hold this document against the routes and against what they answer.
"""

from typing import Any, Literal, get_args

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from coe_ray.core.types import Outcome, Provenance, RankedExpert
from coe_ray.serve.api.openai import DEADLINE, ChatRequest
from coe_ray.serve.console.run_rows import RowFilter
from coe_ray.serve.console.schemas import SCHEMAS, LeaderboardList, RowList, RunList, RunQuestion, WholeRun


class ErrorDetail(BaseModel):
    message: str
    type: Literal["invalid_request_error", "server_error"]
    param: str | None
    code: str | None


class Error(BaseModel):
    """OpenAI's error object."""

    error: ErrorDetail


class ClassifierSaid(BaseModel):
    """How the task was named: by whom, and by which rule its label was read."""

    by: Literal["llm", "neighbours"]
    rule: str
    raw: str
    seconds: float


class NeighbourSaid(BaseModel):
    """A labelled question near the one asked."""

    question: str
    task: str
    similarity: float
    weight: float


class Tried(BaseModel):
    """An expert that was asked in vain: the class of its error, and after how many seconds."""

    expert: str
    error: str
    seconds: float


class Decision(BaseModel):
    """The route with its reasons, the version of the profile that it was made by, and the seconds of each stage.

    Stages are `retrieve`, `classify` and `route`, but of a decision that is `cached`, and `expert`: of a stream until
    its first piece.
    """

    expert: str
    version: str
    task: str
    confidence: float
    reason: str
    leaderboard: str
    cached: bool
    row: list[RankedExpert]
    runner_up: RankedExpert | None
    margin: float
    classifier: ClassifierSaid
    neighbours: list[NeighbourSaid]
    tried: list[Tried]
    stages: dict[str, float]


class NamedExpert(BaseModel):
    """What is said in the place of a route where the request named its expert."""

    expert: str
    version: str


class TokenUsage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AnswerMessage(BaseModel):
    role: Literal["assistant"]
    content: str
    refusal: str | None


class Choice(BaseModel):
    index: int
    message: AnswerMessage
    finish_reason: str
    logprobs: None


class ChatCompletion(BaseModel):
    """OpenAI's chat completion, with how it came about in `coe`."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: TokenUsage
    coe: Decision | NamedExpert


class ListedModel(BaseModel):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(BaseModel):
    object: Literal["list"]
    data: list[ListedModel]


class ScoreSaid(BaseModel):
    """One expert on one task; `ci95` is Wilson's interval."""

    expert: str
    task: str
    correct: int
    total: int
    accuracy: float
    ci95: tuple[float, float]


class LeaderboardSaid(BaseModel):
    version: str
    provenance: Provenance
    scores: list[ScoreSaid]


class Health(BaseModel):
    status: Literal["ok", "degraded", "starting"]
    waiting_for: list[str]
    profile: str
    asks_for_key: bool
    version: str
    leaderboard: str | None
    experts: list[str]
    change_refused: bool
    warnings: list[str]


_SHOWN: tuple[type[BaseModel], ...] = (
    *(ChatRequest, ChatCompletion, Decision, ModelList, LeaderboardSaid, Health, Error),
    *SCHEMAS,
)
_SCHEMAS = "#/components/schemas/"

_REFUSED = {
    "401": "no API key, or a wrong one",
    "429": "more than this API key may ask; Retry-After says when to ask again",
}
_ASKED_WRONGLY = {
    "400": "the request is wrong, is not supported, or too long for the model",
    "404": "no such model",
    "408": "the body took too long to arrive",
    "413": "the body is too large",
    "502": "every expert that could answer failed",
    "503": "everything that could answer is full; Retry-After says when to ask again",
    "504": "no answer within the deadline",
}
_NOWHERE = {"404": "there is no such thing here"}
_UNREADABLE = {"503": "files that cannot be read now"}
_ROUTE_HEADERS = {
    "x-coe-version": "the version of the profile that answered",
    "x-coe-expert": "who answered, percent-encoded",
    "x-coe-task": "the task, percent-encoded; of a routed answer",
    "x-coe-leaderboard": "the leaderboard's version; of a routed answer",
}


def openapi_document() -> dict[str, Any]:
    """The whole document, as JSON can hold it."""
    _, schemas = models_json_schema([(model, "validation") for model in _SHOWN], ref_template=_SCHEMAS + "{model}")
    return {
        "openapi": "3.1.0",
        "info": {"title": "coe_ray", "version": "1"},
        "paths": _paths(),
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "see `coe-ray keys`"}},
        },
        "security": [{"key": []}],
    }


def _paths() -> dict[str, Any]:
    events = {"text/event-stream": {"schema": {"type": "string"}}}
    routed = {name: {"description": said, "schema": {"type": "string"}} for name, said in _ROUTE_HEADERS.items()}
    answered = _answer("the answer; server-sent events where `stream` is true", ChatCompletion)
    decided = _answer("the decision alone", Decision)
    return {
        "/v1/chat/completions": {
            "post": _asking("chat", {**answered, "content": answered["content"] | events, "headers": routed})
        },
        "/v1/route": {"post": _asking("route", {**decided, "headers": routed})},
        "/v1/models": {"get": _reading("models", _answer("`coe` and every expert", ModelList))},
        "/v1/leaderboard": {
            "get": _reading(
                "leaderboard",
                _answer("the scores that routes are made with", LeaderboardSaid),
                {"404": "there is no leaderboard"},
            )
        },
        **_console_paths(),
        "/healthz": {
            "get": {
                "operationId": "health",
                "security": [],
                "responses": {
                    "200": _answer("everything behind the endpoint answers", Health),
                    "503": _answer("something behind it does not", Health),
                },
            }
        },
    }


def _console_paths() -> dict[str, Any]:
    """What the console asks beside: leaderboards before, and bench runs."""
    version, run, question = _in_path("version"), _in_path("run"), _in_path("question")
    wrong = {"400": "a filter or a page that cannot be"}
    versions = _answer("the versions that can be read", LeaderboardList)
    board = _reading("leaderboard_version", _answer("one of them", LeaderboardSaid), _NOWHERE)
    rows = _reading("rows", _answer("a page of a run's rows", RowList), {**_NOWHERE, **_UNREADABLE, **wrong})
    row = _reading("row", _answer("one question of it", RunQuestion), {**_NOWHERE, **_UNREADABLE})
    one = _reading("run", _answer("how far it is, or what came of it", WholeRun), {**_NOWHERE, **_UNREADABLE})
    return {
        "/v1/leaderboards": {"get": _reading("leaderboards", versions)},
        "/v1/leaderboards/{version}": {"get": {**board, "parameters": [version]}},
        "/v1/runs": {"get": _reading("runs", _answer("the bench runs, the latest first", RunList), _UNREADABLE)},
        "/v1/runs/{run}": {"get": {**one, "parameters": [run]}},
        "/v1/runs/{run}/rows": {"get": {**rows, "parameters": [run, *_filters()]}},
        "/v1/runs/{run}/rows/{question}": {"get": {**row, "parameters": [run, question]}},
    }


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _filters() -> list[dict[str, Any]]:
    """As `RowFilter` takes them: pydantic says of what may be left out that it may be null, which no query can hold."""
    schemas: dict[str, dict[str, Any]] = {name: {"type": "string"} for name in ("task", "expert", "system")}
    schemas["outcome"] = {"enum": list(get_args(Outcome))}
    told = RowFilter.model_json_schema()["properties"]
    for name in ("offset", "limit"):
        schemas[name] = {key: told[name][key] for key in ("type", "minimum", "maximum", "default")}
    return [{"name": name, "in": "query", "schema": schema} for name, schema in schemas.items()]


def _asking(name: str, answer: dict[str, Any]) -> dict[str, Any]:
    deadline = {
        "name": DEADLINE,
        "in": "header",
        "description": "seconds that the answer, or a stream's first piece, may take",
        "schema": {"type": "number", "exclusiveMinimum": 0},
    }
    body = {"required": True, "content": _json(ChatRequest)}
    return {**_reading(name, answer, _ASKED_WRONGLY), "requestBody": body, "parameters": [deadline]}


def _reading(name: str, answer: dict[str, Any], errors: dict[str, str] | None = None) -> dict[str, Any]:
    failed = {status: _answer(meaning, Error) for status, meaning in {**_REFUSED, **(errors or {})}.items()}
    default = _answer("any other error", Error)
    return {"operationId": name, "responses": {"200": answer, **dict(sorted(failed.items())), "default": default}}


def _answer(description: str, model: type[BaseModel]) -> dict[str, Any]:
    return {"description": description, "content": _json(model)}


def _json(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _SCHEMAS + model.__name__}}}
