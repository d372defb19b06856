"""The metrics: what a record adds to them, and that what is written about them is so."""

import re
from pathlib import Path
from typing import ClassVar

import pytest

from coe_ray.core.types import Attempt, Classification, Route, Usage
from coe_ray.serve.telemetry import metrics
from coe_ray.serve.telemetry.metrics import DEFINITIONS, Definition, Metrics
from coe_ray.serve.telemetry.request_record import RequestRecord

PAGE = Path(__file__).parents[3] / "docs" / "observability.md"


class Counted:
    """Stands in for Ray's metrics: what was added, by name and labels."""

    seen: ClassVar[dict[tuple[str, ...], float]] = {}

    def __init__(self, name: str, _description: str, *bounds_and_labels: tuple[str, ...]) -> None:
        self._name, self._labels = name, bounds_and_labels[-1]

    def inc(self, by: float, labels: dict[str, str]) -> None:
        assert by > 0  # Ray refuses others
        self.observe(by, labels)

    def observe(self, value: float, labels: dict[str, str]) -> None:
        assert set(labels) == set(self._labels)
        assert all(each.isascii() for each in labels.values())  # Ray fails with others
        key = (self._name, *(labels[name] for name in self._labels))
        self.seen[key] = self.seen.get(key, 0.0) + value


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Metrics:
    monkeypatch.setattr(Counted, "seen", {})
    monkeypatch.setattr(metrics, "Counter", Counted)
    monkeypatch.setattr(metrics, "Histogram", Counted)
    return Metrics()


def routed(*tried: str, expert: str, task: str = "Networks") -> RequestRecord:
    record = RequestRecord("id", "POST", status=200, seconds=0.5)
    record.set_model("coe", ("captain", "gauge"))
    attempts = tuple(Attempt(each, "ServerFault", "text", 0.1) for each in tried)
    record.set_route(Route(expert, Classification(task, "exact", "raw", 0.75), (), "best", "board", attempts))
    return record


def failovers() -> list[tuple[str, ...]]:
    return sorted(key[1:] for key in Counted.seen if key[0] == "coe_failovers")


def test_an_answer_counts_once_in_everything_that_it_has_to_do_with(counted: Metrics) -> None:
    record = routed(expert="gauge")
    record.stages = {"retrieve": 0.25, "expert": 0.125}
    record.usage = Usage(7, 3)
    counted.count(record)
    assert Counted.seen == {
        ("coe_requests", "coe", "200"): 1,
        ("coe_request_seconds", "coe"): 0.5,
        ("coe_stage_seconds", "retrieve"): 0.25,
        ("coe_stage_seconds", "expert"): 0.125,
        ("coe_routes", "Networks", "gauge", "llm"): 1,
        ("coe_confidence", "llm"): 0.75,
        ("coe_tokens", "gauge", "prompt"): 7,
        ("coe_tokens", "gauge", "completion"): 3,
    }


def test_a_failover_counts_from_each_expert_to_the_next(counted: Metrics) -> None:
    counted.count(routed("captain", "gauge", expert="faulty"))
    assert failovers() == [("captain", "gauge", "ServerFault"), ("gauge", "faulty", "ServerFault")]


def test_where_all_failed_the_last_leads_to_none(counted: Metrics) -> None:
    counted.count(routed("captain", "gauge", expert="captain"))
    assert failovers() == [("captain", "gauge", "ServerFault"), ("gauge", "none", "ServerFault")]


def test_a_chinese_task_has_the_headers_name(counted: Metrics) -> None:
    counted.count(routed(expert="gauge", task="监控 (a)"))
    assert Counted.seen["coe_routes", "%E7%9B%91%E6%8E%A7 (a)", "gauge", "llm"] == 1


def test_a_refused_request_counts_for_its_key(counted: Metrics) -> None:
    counted.count(RequestRecord("id", "POST", key="team-a", status=429, error="rate_limit_exceeded"))
    assert Counted.seen["coe_refused", "team-a", "rate_limit_exceeded"] == 1
    assert Counted.seen["coe_errors", "rate_limit_exceeded"] == 1


def test_changes_count_by_outcome(counted: Metrics) -> None:
    counted.count_change(good=True)
    counted.count_change(good=False)
    assert Counted.seen == {("coe_versions", "good"): 1, ("coe_versions", "bad"): 1}


def test_tokens_that_nobody_counted_are_left_out(counted: Metrics) -> None:
    record = routed(expert="gauge")
    record.usage = Usage()
    counted.count(record)
    assert not [key for key in Counted.seen if key[0] == "coe_tokens"]


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda each: each.name)
def test_ray_takes_the_definition(definition: Definition) -> None:
    assert re.fullmatch(r"coe_[a-z_]+", definition.name)
    assert definition.description.isascii()
    assert list(definition.bounds) == sorted(set(definition.bounds))
    assert not set(definition.labels) & {"application", "deployment", "replica", "route", "le"}


def test_the_page_has_every_metric_with_its_labels() -> None:
    rows = re.findall(r"^\| `(ray_coe_\w+)` \| (.*?) \| (.*?) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [
        (each.series, ", ".join(f"`{label}`" for label in each.labels), each.description) for each in DEFINITIONS
    ]
