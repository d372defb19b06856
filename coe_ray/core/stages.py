"""The stages of a request: timed for its log line and its metrics, traced where a collector is configured.

    with collect_stages(request_id) as seconds:       the ingress, once a request: {"retrieve": 0.012, …}
        with stage("retrieve"):                       the pipeline
            ...
        with stage("expert", expert=name):
            ...

Both follow a request through awaits and into tasks that it starts. A stage must begin and end in one task, so it
must hold no `yield`; the expert's stage of a stream is the wait for its first piece, `await anext(deltas)`.

A span is made only below a span that is recorded: without a collector, or in a request that is not sampled, a stage
costs about a microsecond.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter

from opentelemetry import trace
from opentelemetry.trace import Span, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACER = trace.get_tracer("coe_ray")
"""Makes no spans until a provider is set, which may be later."""

TRACE_CONTEXT = TraceContextTextMapPropagator()
"""W3C trace context alone: a caller's baggage is not passed on."""


@dataclass(frozen=True, slots=True)
class _Request:
    id: str
    seconds: dict[str, float] = field(default_factory=dict)


_request: ContextVar[_Request | None] = ContextVar("coe_ray_request", default=None)


@contextmanager
def collect_stages(request_id: str) -> Iterator[dict[str, float]]:
    """The seconds of every stage that ends within, by name; repeated stages, as in a failover, add up."""
    request = _Request(request_id)
    token = _request.set(request)
    try:
        yield request.seconds
    finally:
        _request.reset(token)


def outgoing_headers() -> dict[str, str]:
    """Headers of a call to an API: the request's id, and its trace if there is one. Empty outside a request."""
    request = _request.get()
    if request is None:
        return {}
    headers = {"x-request-id": request.id}
    TRACE_CONTEXT.inject(headers)
    return headers


@contextmanager
def stage(name: str, **attributes: str) -> Iterator[None]:
    """Context of one stage; an answer, an error and a cancellation end it alike.

    `attributes` of its span are short names from the profile, never text of a question or an answer.
    """
    started = perf_counter()
    try:
        if trace.get_current_span().is_recording():
            with _span(name, attributes):
                yield
        else:
            yield
    finally:
        if (request := _request.get()) is not None:
            request.seconds[name] = request.seconds.get(name, 0.0) + perf_counter() - started


@contextmanager
def _span(name: str, attributes: Mapping[str, str]) -> Iterator[None]:
    with TRACER.start_as_current_span(
        name,
        attributes={f"coe.{key}": value for key, value in attributes.items()},
        record_exception=False,
        set_status_on_exception=False,
        end_on_exit=False,
    ) as span:
        try:
            yield
        except BaseException as error:
            end_span(span, type(error))
            raise
        end_span(span, None)


def end_span(span: Span, error: type[BaseException] | None) -> None:
    """End a span. Of an error it gets the class only: the text may quote a question, an answer or a provider."""
    if error is not None:
        span.set_attribute("error.type", error.__name__)
        if issubclass(error, Exception):  # a cancellation is no fault
            span.set_status(StatusCode.ERROR)
    span.end()
