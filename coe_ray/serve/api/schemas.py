"""Responses of the API as pydantic models, for the OpenAPI document; handlers write them themselves, with orjson."""

from typing import Any, Literal

from pydantic import BaseModel

from coe_ray.core.types import Outcome, Provenance, Question, RankedExpert
from coe_ray.serve.console.leaderboards import ListedLeaderboard
from coe_ray.serve.console.prompt_index import Prompt
from coe_ray.serve.console.run_store import ListedRun


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

    by: Literal["llm", "neighbours", "client", "conversation"]
    rule: str
    fallback: str | None
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
    """As the model gave it: tool calls, reasoning and its provider's own fields stand here too."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None = None


class Choice(BaseModel):
    index: int
    message: AnswerMessage
    finish_reason: str
    logprobs: dict[str, Any] | None = None


class ChatCompletion(BaseModel):
    """OpenAI's chat completion as the model gave it, with its route in `coe`."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: TokenUsage | None = None
    coe: Decision | NamedExpert


class TextChoice(BaseModel):
    index: int
    text: str
    finish_reason: str
    logprobs: dict[str, Any] | None


class TextCompletion(BaseModel):
    """OpenAI's former completion object, with its route in `coe`."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: TokenUsage
    coe: Decision | NamedExpert


class IncompleteDetails(BaseModel):
    reason: Literal["max_output_tokens", "content_filter"]


class ResponseUsage(BaseModel):
    input_tokens: int
    input_tokens_details: dict[str, int]
    output_tokens: int
    output_tokens_details: dict[str, int]
    total_tokens: int


class ResponseObject(BaseModel):
    """OpenAI's response, with its route in `coe`; it also repeats the settings of its request.

    Items of `output` are of type `message`, `function_call` or `reasoning`.
    """

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["completed", "incomplete"]
    incomplete_details: IncompleteDetails | None
    error: None
    model: str
    output: list[dict[str, Any]]
    usage: ResponseUsage | None
    store: Literal[False]
    coe: Decision | NamedExpert


class Embedding(BaseModel):
    """One text's vector: numbers, or in base64 its 32-bit floats, little-endian."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingsUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingsUsage


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


class LeaderboardList(BaseModel):
    object: Literal["list"]
    data: list[ListedLeaderboard]


class RunList(BaseModel):
    object: Literal["list"]
    data: list[ListedRun]


class Row(BaseModel):
    """What one system answered to one question. Texts may be cut short in a list."""

    question_id: str
    system: str
    task: str | None
    label: str | None
    expert: str | None
    answer: str | None
    letter: str | None
    outcome: Outcome
    rule: str | None
    text: str | None
    finish_reason: str | None
    error: str | None
    message: str | None
    attempts: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    seconds: float | None


class ListedRow(Row):
    question: str


class RowList(BaseModel):
    object: Literal["list"]
    total: int
    offset: int
    data: list[ListedRow]


class RunQuestion(BaseModel):
    """One question of a run with its classification, answers and prompts."""

    question: Question
    classification: dict[str, Any] | None
    answers: list[Row]
    prompts: list[Prompt]
