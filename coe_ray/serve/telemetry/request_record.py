"""Record of one request: what goes into its log line, the metrics and its span.

Names come from the profile, the key file and this code, never from a request: a record holds no text of a question or
an answer, and no client can make a new label value, or a second log line.
"""

import re
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from coe_ray.core.errors import CallError
from coe_ray.core.types import Attempt, Route, Usage
from coe_ray.serve.api.openai import RequestError

Kind: TypeAlias = Literal["coe", "expert", "route", "embeddings", "unknown", "none"]
"""Kind of request: a routed answer, a named expert's, a route alone, embeddings, an unknown model, or none of these."""

FINISH_REASONS = ("stop", "length", "tool_calls", "content_filter")
"""Finish reasons by name; any other word of a model is recorded as `other`."""

_SAFE_ID = re.compile(r"[A-Za-z0-9_.:/+=-]{1,128}")


@dataclass(slots=True)
class RequestRecord:
    """One request, filled in while it is answered. `model` is `coe`, an expert's name, the encoder's or `unknown`."""

    request_id: str
    method: str
    path: str = "other"
    key: str | None = None
    kind: Kind = "none"
    model: str | None = None
    version: str | None = None
    route: Route | None = None
    expert: str | None = None
    tried: Sequence[Attempt] = ()
    usage: Usage | None = None
    finish_reason: str | None = None
    status: int = 0
    error: str | None = None
    seconds: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict)

    def set_model(self, model: str, experts: Collection[str]) -> None:
        """Record the model that the request names."""
        self.kind = "coe" if model == "coe" else "expert" if model in experts else "unknown"
        self.model = "unknown" if self.kind == "unknown" else model
        self.expert = model if self.kind == "expert" else None

    def set_route(self, route: Route) -> None:
        """Record the route; once more after a failover, which changes it."""
        self.route, self.expert, self.tried = route, route.expert, route.tried

    def set_end(self, finish_reason: str | None, usage: Usage | None) -> None:
        """Record why the answer ended, and its tokens."""
        self.finish_reason = finish_reason if finish_reason in FINISH_REASONS else "other"
        self.usage = usage

    def set_error(self, error: BaseException) -> None:
        """Record the error by its code or class."""
        self.error = (isinstance(error, RequestError) and error.code) or type(error).__name__
        if isinstance(error, CallError) and error.tried:
            self.tried = error.tried

    def fields(self) -> dict[str, Any]:
        """The fields of the log line, ready for JSON."""
        classification = self.route.classification if self.route else None
        usage = self.usage or Usage()
        return {
            "request_id": self.request_id,
            "method": self.method,
            "path": self.path,
            "key": self.key,
            "model": self.model,
            "task": classification.task if classification else None,
            "decided_by": classified_by(self.route) if self.route else None,
            "confidence": round(classification.confidence, 4) if classification else None,
            "expert": self.expert,
            "version": self.version,
            "status": self.status,
            "error": self.error,
            "tried": [f"{attempt.expert}: {attempt.error}" for attempt in self.tried],
            "finish_reason": self.finish_reason,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "seconds": round(self.seconds, 6),
            "stages": {name: round(seconds, 6) for name, seconds in self.stages.items()},
        }

    def __str__(self) -> str:
        """The message of the log line."""
        model = f" {self.model}" if self.model else ""
        task = f" ({self.route.classification.task})" if self.route else ""
        expert = f" -> {self.expert}{task}" if self.expert and self.expert != self.model else ""
        error = f" {self.error}" if self.error else ""
        return f"{self.method} {self.path}{model}{expert} {self.status}{error} in {self.seconds:.4f} s"


def classified_by(route: Route) -> str:
    """The source of the task: `llm`, `neighbours`, `client`, `conversation`, `cached` where it was routed before.

    `fallback`: the neighbours, because the LLM failed.
    """
    classification = route.classification
    if classification.fallback:
        return "fallback"
    return "cached" if route.cached and classification.by != "conversation" else classification.by


_current: ContextVar[RequestRecord] = ContextVar("coe_ray_record")


def current_record() -> RequestRecord:
    """The record of the current request. Raises `LookupError` outside one."""
    return _current.get()


@contextmanager
def set_current_record(record: RequestRecord) -> Iterator[None]:
    """Make `record` the current one within the block, also in tasks started there."""
    token = _current.set(record)
    try:
        yield
    finally:
        _current.reset(token)


def accept_request_id(given: str | None) -> str:
    """The caller's id where it is safe to log and to send on, else a new one."""
    return given if given and _SAFE_ID.fullmatch(given) else uuid.uuid4().hex
