"""Responses of the console's own routes, as the OpenAPI document describes them."""

from typing import Any, Literal

from pydantic import BaseModel

from coe_ray.core.types import Outcome, Question
from coe_ray.serve.console.leaderboards import ListedLeaderboard
from coe_ray.serve.console.run_prompts import Prompt
from coe_ray.serve.console.run_store import ListedRun, WholeRun

__all__ = ["SCHEMAS", "LeaderboardList", "RowList", "RunList", "RunQuestion", "WholeRun"]


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


SCHEMAS: tuple[type[BaseModel], ...] = (LeaderboardList, RunList, WholeRun, RowList, RunQuestion)
