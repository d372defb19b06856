"""Responses of the API as pydantic models, for the OpenAPI document; handlers write them themselves, with orjson."""

from typing import Literal

from pydantic import BaseModel

from coe_ray.core.types import Provenance, RankedExpert


class ErrorDetail(BaseModel):
    message: str
    type: Literal["invalid_request_error", "server_error"]
    param: str | None
    code: str | None


class Error(BaseModel):
    """OpenAI's error object."""

    error: ErrorDetail


class ClassifierResult(BaseModel):
    """How the task was found: by LLM or neighbours, and by which rule its label was read."""

    by: Literal["llm", "neighbours"]
    rule: str
    raw: str
    seconds: float


class SimilarQuestion(BaseModel):
    """A labelled question near this one."""

    question: str
    task: str
    similarity: float
    weight: float


class FailedAttempt(BaseModel):
    """An expert that failed: the class of its error, and after how many seconds."""

    expert: str
    error: str
    seconds: float


class Decision(BaseModel):
    """The route with its reasons, the version of the profile, and the seconds of each stage.

    Stages are `retrieve`, `classify` and `route`, where it is not `cached`, and `expert`: of a stream until its first
    piece.
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
    classifier: ClassifierResult
    neighbours: list[SimilarQuestion]
    tried: list[FailedAttempt]
    stages: dict[str, float]


class NamedExpert(BaseModel):
    """In place of a route, where the request names its expert."""

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
    """OpenAI's chat completion, with its route in `coe`."""

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


class LeaderboardScore(BaseModel):
    """One expert on one task; `ci95` is Wilson's interval."""

    expert: str
    task: str
    correct: int
    total: int
    accuracy: float
    ci95: tuple[float, float]


class LeaderboardContent(BaseModel):
    version: str
    provenance: Provenance
    scores: list[LeaderboardScore]


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
