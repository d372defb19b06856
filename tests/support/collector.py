"""Collector of traces and API model in one, in a thread of the tests; keeps what was sent to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.upstream import CHAT, FakeUpstream, serve_in_thread


@dataclass
class Collector:
    """`spans` as they came over OTLP, `services` that they named, and the `model` with what it was asked."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)
    services: set[str] = field(default_factory=set)
    model: FakeUpstream = field(default_factory=FakeUpstream)

    @property
    def calls(self) -> list[dict[str, str]]:
        """The headers of each call to the model."""
        return [{name.lower(): value for name, value in headers.items()} for headers in self.model.headers]

    def of_trace(self, trace_id: str) -> list[Span]:
        return [span for span in self.spans if span.trace_id.hex() == trace_id]

    async def collect(self, request: web.Request) -> web.Response:
        sent = ExportTraceServiceRequest.FromString(await request.read())
        for resource in sent.resource_spans:
            named = {each.key: each.value.string_value for each in resource.resource.attributes}
            self.services.add(named["service.name"])
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        body = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=body, content_type="application/x-protobuf")


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens until the end of the block."""
    collector = Collector()
    with serve_in_thread({"/v1/traces": collector.collect, CHAT: collector.model.answer}) as collector.url:
        yield collector
