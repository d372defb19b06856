"""The dashboard file shows the endpoint's metrics, all of them and no others."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from coe_ray.serve.telemetry.metrics import DEFINITIONS

DASHBOARD: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "deploy" / "grafana.json").read_text(encoding="utf-8")
)
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]


def queries() -> list[str]:
    return [target["expr"] for panel in PANELS for target in panel["targets"]]


def test_it_asks_for_every_metric_and_no_other() -> None:
    queried = {name for query in queries() for name in re.findall(r"\bray_\w+", query)}
    assert queried == {definition.series for definition in DEFINITIONS}


def test_it_uses_only_labels_that_there_are() -> None:
    of_all = {label for definition in DEFINITIONS for label in definition.labels} | {"le", "application"}
    for query in queries():
        grouped = {name.strip() for group in re.findall(r"\bby \(([^)]+)\)", query) for name in group.split(",")}
        selected = set(re.findall(r"(\w+)(?:=~|!=|=)\"", query))
        assert grouped | selected <= of_all, query


def test_legends_name_what_their_query_is_grouped_by() -> None:
    for target in (target for panel in PANELS for target in panel["targets"]):
        grouped = {
            name.strip() for group in re.findall(r"\bby \(([^)]+)\)", target["expr"]) for name in group.split(",")
        }
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= grouped


def test_the_data_source_is_the_readers_choice() -> None:
    sources = [panel["datasource"] for panel in PANELS] + [each["datasource"] for p in PANELS for each in p["targets"]]
    assert {source["uid"] for source in sources} == {"${datasource}"}
    assert [each["type"] for each in DASHBOARD["templating"]["list"]] == ["datasource", "query"]
    assert "id" not in DASHBOARD


@pytest.mark.parametrize("query", queries())
def test_brackets_of_queries_close(query: str) -> None:
    for opening, closing in ("()", "{}", "[]"):
        assert query.count(opening) == query.count(closing)


def test_panels_lie_side_by_side() -> None:
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in PANELS}
    assert len(places) == len(PANELS) == len({panel["id"] for panel in PANELS})
