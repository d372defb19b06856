"""A request's line in the log: what stands in it, how it is written, and what never does."""

import asyncio
import json
import logging
from collections.abc import Iterator
from io import StringIO
from logging.handlers import MemoryHandler

import pytest
from ray._common.formatters import JSONFormatter

from coe_ray.core.errors import ServerFault
from coe_ray.core.types import Attempt, Classification, Route, Usage
from coe_ray.serve.api.openai import RequestError
from coe_ray.serve.telemetry.request_log import (
    FLUSH_S,
    RequestLog,
    RequestRecord,
    accept_request_id,
    current_record,
    set_current_record,
)

ROUTE = Route(
    "gauge",
    Classification("监控指标", "exact", "raw words of a model", 0.75, by="neighbours"),
    (),
    "best",
    "board",
    (Attempt("captain", "ServerFault", "text of a provider", 0.1),),
)


@pytest.fixture
def written() -> Iterator[StringIO]:
    """What Serve's own JSON formatter makes of the log, behind a buffer such as Serve's."""
    out = StringIO()
    target = logging.StreamHandler(out)
    target.setFormatter(JSONFormatter())
    handler = MemoryHandler(1000, target=target)
    log = logging.getLogger("ray.serve")
    before, level, propagates = log.handlers[:], log.level, log.propagate
    log.handlers[:], log.propagate = [handler], False
    log.setLevel(logging.INFO)
    yield out
    log.handlers[:], log.propagate = before, propagates
    log.setLevel(level)


def answered() -> RequestRecord:
    record = RequestRecord("id-1", "POST", "/v1/chat/completions", key="team-a", version="v1", status=200, seconds=0.25)
    record.set_model("coe", ("captain", "gauge"))
    record.decided(ROUTE)
    record.usage = Usage(7, 3)
    record.stages = {"expert": 0.2}
    return record


async def test_a_line_is_json_with_its_fields_and_waits_for_no_other(written: StringIO) -> None:
    RequestLog({"replica": "abc"}).write(answered())
    assert written.getvalue() == ""
    await asyncio.sleep(FLUSH_S * 2)
    line = json.loads(written.getvalue())
    assert {
        "request_id": "id-1",
        "method": "POST",
        "path": "/v1/chat/completions",
        "key": "team-a",
        "model": "coe",
        "task": "监控指标",
        "decided_by": "neighbours",
        "confidence": 0.75,
        "expert": "gauge",
        "version": "v1",
        "status": 200,
        "error": None,
        "tried": ["captain: ServerFault"],
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "seconds": 0.25,
        "stages": {"expert": 0.2},
        "replica": "abc",
    }.items() <= line.items()
    assert line["message"] == "POST /v1/chat/completions coe -> gauge (监控指标) 200 in 0.2500 s"
    assert "raw words" not in written.getvalue()
    assert "text of a provider" not in written.getvalue()


async def test_many_lines_are_written_down_together(written: StringIO) -> None:
    log = RequestLog({})
    for _ in range(3):
        log.write(answered())
    await asyncio.sleep(FLUSH_S * 2)
    assert len(written.getvalue().splitlines()) == 3


def test_a_model_that_there_is_not_does_not_come_into_the_log() -> None:
    record = RequestRecord("id", "POST")
    record.set_model("evil\nINFO forged line", ("captain",))
    assert (record.kind, record.model, record.expert) == ("unknown", "unknown", None)
    assert "evil" not in str(record)


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (RequestError(404, "no model", code="model_not_found"), "model_not_found"),
        (RequestError(400, "bad"), "RequestError"),
        (ServerFault("m", "text"), "ServerFault"),
        (ValueError("text"), "ValueError"),
    ],
)
def test_an_error_is_a_name_out_of_the_code(error: Exception, name: str) -> None:
    record = RequestRecord("id", "POST")
    record.failed(error)
    assert record.error == name


def test_a_decision_that_was_kept_is_told_apart() -> None:
    record = RequestRecord("id", "POST")
    record.decided(Route("gauge", ROUTE.classification, (), "best", "board", cached=True))
    assert record.fields()["decided_by"] == "cached"


def test_a_named_expert_is_no_route() -> None:
    record = RequestRecord("id", "POST", "/v1/chat/completions", status=200)
    record.set_model("gauge", ("gauge",))
    assert str(record) == "POST /v1/chat/completions gauge 200 in 0.0000 s"


@pytest.mark.parametrize("given", ["3772d818-91cc-4850-b502-8d196b2bc2d3", "Root=1-67891233-abcdef01", "x" * 128])
def test_a_fit_request_id_is_kept(given: str) -> None:
    assert accept_request_id(given) == given


@pytest.mark.parametrize("given", [None, "", "x" * 129, "two words", "tab\t", "line\n", "ÿ", 'quote"', "a\n"])
def test_another_gets_a_new_one(given: str | None) -> None:
    new = accept_request_id(given)
    assert new != given
    assert accept_request_id(new) == new


def test_the_record_under_way_is_the_requests_own() -> None:
    record = RequestRecord("id", "GET")
    with set_current_record(record):
        assert current_record() is record
    with pytest.raises(LookupError):
        current_record()
