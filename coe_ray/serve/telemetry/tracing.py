"""Tracing of requests, exported by OTLP over HTTP where OpenTelemetry's own environment variables ask for it.

`OTEL_EXPORTER_OTLP_ENDPOINT` (or its `…_TRACES_…` form), or `OTEL_TRACES_EXPORTER=otlp`, turns them on. The rest is the
SDK's: `OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`, `OTEL_BSP_…`, `OTEL_EXPORTER_OTLP_HEADERS`.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from coe_ray.core.stages import TRACE_CONTEXT, TRACER, end_span

log = logging.getLogger("ray.serve")

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def set_up_tracing() -> bool:
    """Send this process's spans to a collector, where the environment names one; whether it does.

    Changes nothing where it was called before, or where Serve itself traces.
    """
    if not _is_enabled() or not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return False
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # half a second
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # Attributes given in code win over the environment's, so the name is only given where that has none.
    resource = Resource.create()
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "coe_ray"}))
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return True


def _is_enabled() -> bool:
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none":
        return False
    if exporter not in ("", "otlp"):
        log.warning("no traces: OTEL_TRACES_EXPORTER is %r; this endpoint exports by otlp", exporter)
        return False
    if not exporter and not any(os.environ.get(name) for name in _ENDPOINTS):
        return False
    protocol = next(filter(None, map(os.environ.get, _PROTOCOLS)), "http/protobuf")
    if protocol != "http/protobuf":
        log.warning("no traces: the OTLP protocol is %r; this endpoint exports by http/protobuf", protocol)
        return False
    return True


@contextmanager
def request_span(method: str, headers: Mapping[str, str]) -> Iterator[Span]:
    """The parent span of a request's stages; it continues the trace of the caller's `traceparent`.

    Without a provider it records nothing.
    """
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        yield trace.INVALID_SPAN
        return
    parent = TRACE_CONTEXT.extract(headers)
    span = TRACER.start_span(method, parent, SpanKind.SERVER, {"http.request.method": method})
    token = contexts.attach(trace.set_span_in_context(span, parent))
    kind: type[BaseException] | None = None
    try:
        yield span
    except BaseException as error:  # recorded in the span, and raised again
        kind = type(error)
        raise
    finally:
        contexts.detach(token)
        end_span(span, kind)
