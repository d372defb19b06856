"""A request's record: its fields, and what never comes into it."""

import pytest

from coe_ray.core.errors import ServerFault
from coe_ray.core.types import Attempt, Classification, Route, Usage
from coe_ray.serve.api.openai import RequestError
from coe_ray.serve.telemetry.request_record import (
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


def test_an_unknown_models_name_is_not_recorded() -> None:
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
    record.set_error(error)
    assert record.error == name


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter"])
def test_a_finish_reason_is_one_of_a_closed_list(reason: str) -> None:
    record = RequestRecord("id", "POST")
    assert record.fields()["finish_reason"] is None
    record.set_end(reason, Usage(7, 3))
    assert (record.fields()["finish_reason"], record.fields()["prompt_tokens"]) == (reason, 7)
    record.set_end(f"{reason}\nINFO forged line", None)
    assert record.fields()["finish_reason"] == "other"


def test_a_cached_route_is_marked() -> None:
    record = RequestRecord("id", "POST")
    record.set_route(Route("gauge", ROUTE.classification, (), "best", "board", cached=True))
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


def test_the_current_record_is_the_requests_own() -> None:
    record = RequestRecord("id", "GET")
    with set_current_record(record):
        assert current_record() is record
    with pytest.raises(LookupError):
        current_record()
