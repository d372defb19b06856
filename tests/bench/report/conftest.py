"""A whole run and its page, made once."""

from typing import Any

import pytest

from coe_ray.bench.report import render_report
from tests.bench.report.planted_run import Plan, planted_run
from tests.bench.report.summaries import Page


@pytest.fixture(scope="package")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The summary of a whole run, failed calls and all."""
    return planted_run(tmp_path_factory.mktemp("planted"), Plan(per_task=24, outages=0.01))


@pytest.fixture(scope="package")
def shown(run: dict[str, Any]) -> Page:
    return Page(render_report(run))
