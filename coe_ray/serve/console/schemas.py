"""What the console's own requests are answered with, as the OpenAPI document describes it."""

from typing import Any, Literal

from pydantic import BaseModel

from coe_ray.core.run_folder import Phase, RunState
from coe_ray.core.types import Outcome, Provenance


class ListedLeaderboard(BaseModel):
    """A leaderboard without its scores; `answers` is how many it was made of."""

    version: str
    served: bool
    provenance: Provenance
    experts: list[str]
    tasks: list[str]
    answers: int


class LeaderboardList(BaseModel):
    object: Literal["list"]
    data: list[ListedLeaderboard]


class ProgressSaid(BaseModel):
    """How far a run was `age` seconds ago: questions, then calls, by the class of their error where it matters."""

    total: int
    done: int
    failed: int
    rate: float
    in_flight: int
    waiting: int
    backing_off: dict[str, int]
    failures: dict[str, int]
    phase: Phase
    at: float
    age: float


class AccuracySaid(BaseModel):
    accuracy: float | None
    ci95: tuple[float, float] | None


class ListedRun(BaseModel):
    """A bench run; `accuracy` is CoE's, where there are figures, and `progress` stands there while it is not over."""

    id: str
    state: RunState
    started: str
    profile: str
    data: str
    split: str | None
    replay: bool
    questions: int
    incomplete: bool | None
    accuracy: AccuracySaid | None
    progress: ProgressSaid | None


class RunList(BaseModel):
    object: Literal["list"]
    data: list[ListedRun]


class WholeRun(ListedRun):
    """The same with its summary, as docs/runs.md has it, but for the command line."""

    summary: dict[str, Any] | None


class RowSaid(BaseModel):
    """What one system made of one question. Texts may be cut short in a list."""

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
    error: str | None
    message: str | None
    attempts: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    seconds: float | None


class ListedRow(RowSaid):
    question: str


class RowList(BaseModel):
    object: Literal["list"]
    total: int
    offset: int
    data: list[ListedRow]


class QuestionSaid(BaseModel):
    id: str
    text: str
    options: list[str]
    answer: str | None
    task: str | None
    language: str


class MessageSaid(BaseModel):
    role: str
    content: str


class PromptSaid(BaseModel):
    """`sent`: as the journal has it; else made once more, by the profile as it is now."""

    messages: list[MessageSaid]
    sent: bool
    models: list[str]
    systems: list[str]


class QuestionAsked(BaseModel):
    """One question of a run with everything that was said to it."""

    question: QuestionSaid
    classification: dict[str, Any] | None
    answers: list[RowSaid]
    prompts: list[PromptSaid]


SCHEMAS: tuple[type[BaseModel], ...] = (LeaderboardList, RunList, WholeRun, RowList, QuestionAsked)
