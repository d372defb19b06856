"""What is written down of a request: one line in the log, and the same facts for the metrics.

Names come from the profile, the key file and this code, never from a request: a line holds no text of a question or an
answer, and nobody can make a new label value, or a second log line, by what is asked.
"""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import orjson
from ray._common.formatters import JSONFormatter

from coe_ray.core.errors import CallError
from coe_ray.core.types import Attempt, Route, Usage
from coe_ray.serve.api.openai import RequestError

log = logging.getLogger("ray.serve")

FLUSH_S = 0.1
"""How long a line waits. Serve by itself keeps up to 1,000 in memory: on a quiet day for hours, lost in a kill."""

READY = "coe_ready"
"""The mark of a log record whose message is lines as they shall stand in the file."""

Kind: TypeAlias = Literal["coe", "expert", "route", "unknown", "none"]
"""What was asked for: a routed answer, a named expert's, a decision alone, a model that there is not, or no model."""

_FIT_ID = re.compile(r"[A-Za-z0-9_.:/+=-]{1,128}")


@dataclass(slots=True)
class RequestRecord:
    """One request, filled in as things become known. `model` is `coe`, an expert's name or `unknown`."""

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
    status: int = 0
    error: str | None = None
    seconds: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict)

    def set_model(self, model: str, experts: Collection[str]) -> None:
        """The model that the request names."""
        self.kind = "coe" if model == "coe" else "expert" if model in experts else "unknown"
        self.model = "unknown" if self.kind == "unknown" else model
        self.expert = model if self.kind == "expert" else None

    def decided(self, route: Route) -> None:
        """The route; once more after a failover, which changes it."""
        self.route, self.expert, self.tried = route, route.expert, route.tried

    def failed(self, error: BaseException) -> None:
        """What went wrong, by a name out of this code."""
        self.error = (isinstance(error, RequestError) and error.code) or type(error).__name__
        if isinstance(error, CallError) and error.tried:
            self.tried = error.tried

    def fields(self) -> dict[str, Any]:
        """The line's fields, as JSON can hold them."""
        said = self.route.classification if self.route else None
        usage = self.usage or Usage()
        return {
            "request_id": self.request_id,
            "method": self.method,
            "path": self.path,
            "key": self.key,
            "model": self.model,
            "task": said.task if said else None,
            "decided_by": decided_by(self.route) if self.route else None,
            "confidence": round(said.confidence, 4) if said else None,
            "expert": self.expert,
            "version": self.version,
            "status": self.status,
            "error": self.error,
            "tried": [f"{attempt.expert}: {attempt.error}" for attempt in self.tried],
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "seconds": round(self.seconds, 6),
            "stages": {name: round(seconds, 6) for name, seconds in self.stages.items()},
        }

    def __str__(self) -> str:
        """The line where logs are text."""
        asked = f" {self.model}" if self.model else ""
        task = f" ({self.route.classification.task})" if self.route else ""
        went = f" -> {self.expert}{task}" if self.expert and self.expert != self.model else ""
        error = f" {self.error}" if self.error else ""
        return f"{self.method} {self.path}{asked}{went} {self.status}{error} in {self.seconds:.4f} s"


def decided_by(route: Route) -> str:
    """What named the task: `llm`, `neighbours`, or `cached` where the question was asked before."""
    return "cached" if route.cached else route.classification.by


_current: ContextVar[RequestRecord] = ContextVar("coe_ray_record")


def current_record() -> RequestRecord:
    """The record of the request under way. Raises `LookupError` outside one."""
    return _current.get()


@contextmanager
def set_current_record(record: RequestRecord) -> Iterator[None]:
    """The record that `current_record` gives within, in tasks that are started there, too."""
    token = _current.set(record)
    try:
        yield
    finally:
        _current.reset(token)


def accept_request_id(given: str | None) -> str:
    """The caller's id where it is safe to write down and to send on, else a new one."""
    return given if given and _FIT_ID.fullmatch(given) else uuid.uuid4().hex


class RequestLog:
    """Writes records, and sees to it that they come to rest soon after.

    Lines of JSON are made here and handed on together: Serve's handler would write each of them out twice, once to see
    whether its file is full, which was a tenth of a request's time.
    """

    def __init__(self, origin: Mapping[str, str]) -> None:
        self._origin = dict(origin)
        self._waiting: list[tuple[int, RequestRecord]] = []
        self._flushing: asyncio.TimerHandle | None = None

    def write(self, record: RequestRecord) -> None:
        """One line. Called on the event loop."""
        if not log.isEnabledFor(logging.INFO):
            return
        self._waiting.append((time.time_ns(), record))
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_later(FLUSH_S, self._flush)

    def _flush(self) -> None:
        self._flushing = None
        waiting, self._waiting = self._waiting, []
        # Serve's own filters would find the origin out anew, and put the caller's unchecked id over ours.
        if _take_ready_lines():
            lines = "\n".join(self._line(at, record) for at, record in waiting)
            log.info(lines, extra={READY: True, "skip_context_filter": True})
        else:
            for _, record in waiting:
                log.info("%s", record, extra={**self._origin, **record.fields(), "skip_context_filter": True})
        for handler in log.handlers:
            handler.flush()

    def _line(self, at: int, record: RequestRecord) -> str:
        seconds, rest = divmod(at, 10**9)
        head = {
            "asctime": f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(seconds))},{rest // 10**6:03}",
            "levelname": "INFO",
            "message": str(record),
        }
        return orjson.dumps({**head, **self._origin, **record.fields(), "timestamp_ns": at}).decode()


class _Ready(logging.Formatter):
    """Another formatter, but for lines that are ready."""

    def __init__(self, other: logging.Formatter) -> None:
        super().__init__()
        self._other = other

    def format(self, record: logging.LogRecord) -> str:
        return str(record.msg) if hasattr(record, READY) else self._other.format(record)


def _take_ready_lines() -> bool:
    """Make the log's handlers take lines that are ready, now and where Serve made them anew; whether all write JSON."""
    targets = [getattr(handler, "target", handler) for handler in log.handlers]
    for target in targets:
        if isinstance(target.formatter, JSONFormatter):
            target.setFormatter(_Ready(target.formatter))
    return all(isinstance(target.formatter, _Ready) for target in targets)
