"""The stages of a request: timed for its log line and its metrics, traced where a collector is configured.

    with collected(request_id) as seconds:            the ingress, once a request: {"retrieve": 0.012, …}
        with stage("retrieve"):                       the pipeline
            ...
        with stage("expert", expert=name) as at:
            ...
            at.note(model=model)

Both follow a request through awaits and into tasks that it starts. A stage must begin and end in one task, so no
`yield` may stand in it; the expert's stage of a stream is the wait for its first piece, `await anext(deltas)`.

A span is made only below a span that is being recorded: without a collector, and in requests that are not sampled, a
stage costs about a microsecond.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from time import perf_counter
from types import TracebackType

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACER = trace.get_tracer("coe_ray")
"""Makes nothing until a provider is set, which may be later."""

TRACE_CONTEXT = TraceContextTextMapPropagator()
"""W3C trace context alone: baggage that a caller sent stays here."""


@dataclass(frozen=True, slots=True)
class _Request:
    id: str
    seconds: dict[str, float] = field(default_factory=dict)


_request: ContextVar[_Request | None] = ContextVar("coe_ray_request", default=None)


@contextmanager
def collect_stages(request_id: str) -> Iterator[dict[str, float]]:
    """The seconds of every stage that ends within, by name; a stage that comes again, as in a failover, adds up."""
    request = _Request(request_id)
    token = _request.set(request)
    try:
        yield request.seconds
    finally:
        _request.reset(token)


def outgoing_headers() -> dict[str, str]:
    """What a call to an API sends along: the request's id, and its trace if there is one. Empty outside a request."""
    request = _request.get()
    if request is None:
        return {}
    headers = {"x-request-id": request.id}
    TRACE_CONTEXT.inject(headers)
    return headers


class Stage:
    """One stage while it lasts. It ends the same way by an answer, an error or a cancellation."""

    __slots__ = ("_attributes", "_began", "_name", "_span", "_token")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self._name = name
        self._attributes = attributes
        self._began = 0.0
        self._span: Span | None = None
        self._token: Token[Context] | None = None

    def note(self, **attributes: str) -> None:
        """What became known meanwhile: small names out of the profile, never text of a question or an answer."""
        if self._span is not None:
            self._span.set_attributes(_prefixed(attributes))

    def __enter__(self) -> "Stage":
        if trace.get_current_span().is_recording():
            self._span = TRACER.start_span(self._name, attributes=_prefixed(self._attributes))
            self._token = contexts.attach(trace.set_span_in_context(self._span))
        self._began = perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        lasted = perf_counter() - self._began
        if (request := _request.get()) is not None:
            request.seconds[self._name] = request.seconds.get(self._name, 0.0) + lasted
        if self._span is not None and self._token is not None:
            contexts.detach(self._token)
            end_span(self._span, kind)


def stage(name: str, **attributes: str) -> Stage:
    """A context manager around one stage; `attributes` as for `Stage.note`."""
    return Stage(name, attributes)


def end_span(span: Span, error: type[BaseException] | None) -> None:
    """Ends it. Of an error only the class is told: its text may quote a question, an answer or a provider."""
    if error is not None:
        span.set_attribute("error.type", error.__name__)
        if issubclass(error, Exception):  # a caller who left is no fault
            span.set_status(StatusCode.ERROR)
    span.end()


def _prefixed(attributes: dict[str, str]) -> dict[str, str]:
    return {f"coe.{name}": value for name, value in attributes.items()}
