"""A served application tells what it does: spans to a collector, lines to its log, counts to its node's agent."""

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from coe_ray.serve.telemetry.metrics import FAILOVERS, ROUTES, STAGE_SECONDS, TOKENS
from tests.serve.world import METRICS, REMOTE, write_profile
from tests.support.cluster import Cluster
from tests.support.collector import Collector

APPLICATION = "observed"
CHAT = "/v1/chat/completions"
TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STAGES = {"retrieve", "classify", "route", "expert"}
SECRET_WORDS = "say nothing of a lighthouse"

Found = TypeVar("Found")


@pytest.fixture(scope="module")
def observed(world: Path, collector: Collector, serve_cluster: Cluster) -> Iterator[Cluster]:
    # Patient: the first call to an API waits until the rate governor is up, on a busy machine for seconds.
    patience = {"deadline_s": 60.0, "failover_after_s": 30.0}
    profile = write_profile(world.parent / "observed.yaml", f"{collector.url}/v1", routing=patience)
    with serve_cluster.serving(profile, name=APPLICATION):
        yield serve_cluster


@pytest.fixture(scope="module")
def client(observed: Cluster) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=observed.url, timeout=30) as client:
        yield client


def send(
    client: httpx.Client, text: str, model: str = "coe", headers: dict[str, str] | None = None, **more: Any
) -> str:
    """The id of the request, after its whole answer was read."""
    body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
    return client.post(CHAT, json=body, headers=headers).headers["x-request-id"]


def awaited(look: Callable[[], Found | None]) -> Found:
    """What `look` finds, sooner or later."""
    for _ in range(300):
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError("it never came")


def line_of(cluster: Cluster, request_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        lines = (json.loads(line) for line in cluster.log_of("ingress", APPLICATION).splitlines())
        return next((line for line in lines if line.get("request_id") == request_id and "status" in line), None)

    return awaited(look)


def attributes(span: Span) -> dict[str, Any]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


@pytest.fixture(scope="module")
def spans(client: httpx.Client, collector: Collector) -> dict[str, Span]:
    """Of one routed request with a caller's trace, by name."""
    send(client, SECRET_WORDS, headers={"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01", "x-request-id": "traced-1"})
    awaited(lambda: len(collector.of_trace(TRACE_ID)) >= len(STAGES) + 1)
    return {span.name: span for span in collector.of_trace(TRACE_ID)}


class TestTraces:
    def test_a_span_for_each_stage_below_one_for_the_request(self, spans: dict[str, Span]) -> None:
        root = spans[f"POST {CHAT}"]
        assert set(spans) == STAGES | {root.name}
        assert root.parent_span_id.hex() == PARENT_ID
        assert {spans[name].parent_span_id for name in STAGES} == {root.span_id}
        assert root.kind == Span.SpanKind.SPAN_KIND_SERVER

    def test_they_say_what_was_decided_and_not_what_was_asked(
        self, spans: dict[str, Span], collector: Collector
    ) -> None:
        root = attributes(spans[f"POST {CHAT}"])
        assert root["http.response.status_code"] == 200
        assert (root["coe.request_id"], root["coe.task"], root["coe.expert"]) == ("traced-1", REMOTE, "remote")
        assert attributes(spans["expert"])["coe.expert"] == "remote"
        assert "lighthouse" not in str(collector.spans)
        assert collector.services == {"coe_ray"}

    def test_the_model_behind_gets_id_and_trace(self, spans: dict[str, Span], collector: Collector) -> None:
        (call,) = [call for call in collector.calls if call["x-request-id"] == "traced-1"]
        _, trace_id, parent_id, _ = call["traceparent"].split("-")
        assert (trace_id, parent_id) == (TRACE_ID, spans["expert"].span_id.hex())

    def test_a_stream_has_the_same(self, client: httpx.Client, collector: Collector) -> None:
        trace_id = "1" * 32
        send(client, "say it", stream=True, headers={"traceparent": f"00-{trace_id}-{PARENT_ID}-01"})
        awaited(lambda: len(collector.of_trace(trace_id)) >= len(STAGES) + 1)
        assert {span.name for span in collector.of_trace(trace_id)} == STAGES | {f"POST {CHAT}"}

    def test_an_error_is_told_by_its_class(self, client: httpx.Client, collector: Collector) -> None:
        trace_id = "2" * 32
        send(client, "broken", "faulty", headers={"traceparent": f"00-{trace_id}-{PARENT_ID}-01"})
        awaited(lambda: len(collector.of_trace(trace_id)) == 2)
        for span in collector.of_trace(trace_id):
            assert attributes(span)["error.type"] == "ServerFault"
            assert span.status.code == Status.StatusCode.STATUS_CODE_ERROR

    def test_what_the_caller_does_not_sample_is_not_recorded(self, client: httpx.Client, collector: Collector) -> None:
        send(client, "say it", "remote", headers={"traceparent": f"00-{'3' * 32}-{PARENT_ID}-00"})
        send(client, "say it", "remote", headers={"traceparent": f"00-{'4' * 32}-{PARENT_ID}-01"})
        awaited(lambda: len(collector.of_trace("4" * 32)) == 2)
        assert collector.of_trace("3" * 32) == []


class TestLog:
    def test_a_routed_answer(self, client: httpx.Client, observed: Cluster) -> None:
        line = line_of(observed, send(client, SECRET_WORDS))
        assert (line["model"], line["task"], line["expert"], line["status"]) == ("coe", REMOTE, "remote", 200)
        assert (line["prompt_tokens"], line["completion_tokens"]) == (7, 3)
        assert line["stages"].keys() <= STAGES
        assert line["version"]
        assert line["deployment"] == "ingress"
        assert "lighthouse" not in observed.log_of("ingress", APPLICATION)

    def test_a_stream(self, client: httpx.Client, observed: Cluster) -> None:
        line = line_of(observed, send(client, "say it", "remote", stream=True))
        assert (line["model"], line["task"], line["expert"], line["completion_tokens"]) == ("remote", None, "remote", 3)

    def test_a_model_that_there_is_not(self, client: httpx.Client, observed: Cluster) -> None:
        line = line_of(observed, send(client, "say it", "forged"))
        assert (line["model"], line["status"], line["error"]) == ("unknown", 404, "model_not_found")

    def test_the_callers_id_where_it_is_fit(self, client: httpx.Client, observed: Cluster) -> None:
        assert send(client, "say it", "remote", headers={"x-request-id": "Root=1-abc"}) == "Root=1-abc"
        assert line_of(observed, "Root=1-abc")["status"] == 200


class TestMetrics:
    def test_they_come_out_of_the_nodes_agent(self, client: httpx.Client, observed: Cluster) -> None:
        send(client, "吞吐量")
        send(client, "say it")
        send(client, "faulty one")
        for series, labels in {
            ROUTES.series: {("task", quote(METRICS)), ("expert", "gauge"), ("by", "llm"), ("deployment", "ingress")},
            STAGE_SECONDS.series: {("stage", name) for name in STAGES},
            TOKENS.series: {("expert", "remote"), ("direction", "prompt")},
            FAILOVERS.series: {("from_expert", "faulty"), ("error", "ServerFault")},
        }.items():
            awaited(lambda series=series, labels=labels: labels <= labels_of(observed, series))  # type: ignore[misc]  # mypy infers no lambda with defaults


def labels_of(cluster: Cluster, series: str) -> set[tuple[str, str]]:
    """The labels that a series has, as Prometheus would read them on the cluster's one node."""
    (port,) = cluster.folder.glob("ray/session_2*/metrics_export_port_*")
    text = httpx.get(f"http://127.0.0.1:{port.read_text().strip()}/metrics").text
    lines = [line for line in text.splitlines() if line.startswith(f"{series}{{")]
    return {(name, value) for line in lines for name, value in re.findall(r'(\w+)="([^"]*)"', line)}
