"""Stages: what is timed where, and what a collector is told."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Span, StatusCode

from coe_ray.core import stages
from coe_ray.core.stages import collect_stages, outgoing_headers, stage


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """What comes out of this module's tracer; the process's own provider can be set only once."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(stages, "TRACER", provider.get_tracer("test"))
    return exporter


@pytest.fixture
def root(exported: InMemorySpanExporter) -> Iterator[Span]:
    with stages.TRACER.start_as_current_span("request") as span:
        yield span


def only(exported: InMemorySpanExporter) -> ReadableSpan:
    (span,) = exported.get_finished_spans()
    return span


class TestTimes:
    def test_each_stage_by_name_and_a_second_time_on_top(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ticks = iter([0.0, 1.0, 10.0, 12.0, 20.0, 24.0])
        monkeypatch.setattr(stages, "perf_counter", lambda: next(ticks))
        with collect_stages("id") as seconds:
            with stage("retrieve"):
                pass
            for _ in range(2):
                with stage("expert"):
                    pass
        assert seconds == {"retrieve": 1.0, "expert": 6.0}

    def test_without_a_request_nothing_is_kept(self) -> None:
        with stage("retrieve"):
            pass
        with collect_stages("id") as seconds:
            pass
        assert seconds == {}

    async def test_requests_at_once_do_not_mix(self) -> None:
        async def request(name: str) -> dict[str, float]:
            with collect_stages(name) as seconds:
                with stage(name):
                    await asyncio.sleep(0)
                return seconds

        both = await asyncio.gather(request("a"), request("b"))
        assert [list(seconds) for seconds in both] == [["a"], ["b"]]

    async def test_tasks_of_a_request_count_for_it(self) -> None:
        async def work() -> None:
            with stage("classify"):
                await asyncio.sleep(0)

        with collect_stages("id") as seconds:
            await asyncio.create_task(work())
        assert list(seconds) == ["classify"]

    async def test_a_stream_counts_until_its_first_piece(self) -> None:
        later = asyncio.Event()

        async def deltas() -> AsyncIterator[str]:
            yield "first"
            await later.wait()

        with collect_stages("id") as seconds:
            pieces = deltas()
            with stage("expert"):
                assert await anext(pieces) == "first"
            assert list(seconds) == ["expert"]

    @pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, TimeoutError])
    def test_a_stage_that_breaks_off_counts_too(self, error: type[BaseException]) -> None:
        with collect_stages("id") as seconds, pytest.raises(error), stage("expert"):
            raise error
        assert list(seconds) == ["expert"]


class TestSpans:
    def test_one_a_stage_below_the_request(self, exported: InMemorySpanExporter, root: Span) -> None:
        with stage("expert", expert="captain", model="sailor"):
            pass
        span = only(exported)
        assert span.name == "expert"
        assert span.parent == root.get_span_context()
        assert span.attributes == {"coe.expert": "captain", "coe.model": "sailor"}
        assert span.status.status_code == StatusCode.UNSET
        assert trace.get_current_span() is root

    def test_none_where_no_request_is_recorded(self, exported: InMemorySpanExporter) -> None:
        with stage("retrieve", model="sailor"):
            pass
        assert exported.get_finished_spans() == ()

    def test_of_an_error_only_its_class(self, exported: InMemorySpanExporter, root: Span) -> None:
        with pytest.raises(ValueError, match="the question"), stage("classify"):
            raise ValueError("the question and sk-secret")
        span = only(exported)
        assert span.status.status_code == StatusCode.ERROR
        assert span.attributes == {"error.type": "ValueError"}
        assert "question" not in span.to_json()

    async def test_a_cancelled_stage_ends_and_is_no_fault(self, exported: InMemorySpanExporter, root: Span) -> None:
        async def work() -> None:
            with stage("expert"):
                await asyncio.sleep(60)

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        span = only(exported)
        assert span.attributes == {"error.type": "CancelledError"}
        assert span.status.status_code == StatusCode.UNSET


class TestOutgoingHeaders:
    def test_none_outside_a_request(self) -> None:
        assert outgoing_headers() == {}

    def test_the_id_alone_without_a_trace(self) -> None:
        with collect_stages("an-id"):
            assert outgoing_headers() == {"x-request-id": "an-id"}

    def test_the_stage_is_the_parent_of_what_is_called(self, exported: InMemorySpanExporter, root: Span) -> None:
        with collect_stages("an-id"), stage("expert"):
            headers = outgoing_headers()
        context = only(exported).context
        assert headers["traceparent"].startswith(f"00-{context.trace_id:032x}-{context.span_id:016x}-")
