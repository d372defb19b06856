"""Traces are on only where OpenTelemetry's own variables ask for them; what comes out is in test_observed.py."""

import logging

import pytest
from opentelemetry import trace

from coe_ray.serve.telemetry.tracing import request_span, set_up_tracing

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none"} | ENDPOINT,
        {"OTEL_SDK_DISABLED": "true"} | ENDPOINT,
        {"OTEL_SERVICE_NAME": "other"},
    ],
)
def test_off(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert not set_up_tracing()
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "zipkin"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"} | ENDPOINT, "grpc"),
    ],
)
def test_what_is_not_supported_is_said(
    environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(logging.getLogger("ray.serve"), "propagate", True)
    assert not set_up_tracing()
    assert message in caplog.text


def test_without_a_provider_a_request_has_no_span() -> None:
    with request_span("POST", {"traceparent": f"00-{1:032x}-{1:016x}-01"}) as span:
        assert not span.is_recording()
        assert not trace.get_current_span().get_span_context().is_valid
