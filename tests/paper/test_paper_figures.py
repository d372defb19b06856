"""Figures of a study: one file of each kind for each chart, by profile and protocol."""

from pathlib import Path

import pytest

from coe_ray.paper.findings import Findings
from coe_ray.paper.paper_figures import draw_figures
from tests.analysis.charts.inspection import svg_text
from tests.paper.planted import LABEL, SKILL, TASKS


@pytest.fixture(scope="module")
def drawn(findings: Findings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "figures"
    assert sorted(draw_figures(findings, folder)) == sorted(folder.iterdir())
    return folder


def test_every_chart_is_there_as_png_and_svg(drawn: Path) -> None:
    charts = [f"{kind}-{protocol}" for kind in ("radar", "losses") for protocol in ("paper", "held-out")]
    charts.append("confusion-classifier-without-rag")
    names = {f"small-{chart}.{ending}" for chart in charts for ending in ("png", "svg")}
    assert {path.name for path in drawn.iterdir()} == names


def test_the_charts_say_what_they_show(drawn: Path, findings: Findings) -> None:
    radar = svg_text(drawn / "small-radar-held-out.svg")
    assert all(name in radar for name in (*SKILL, *TASKS, "small: accuracy by task, mapping held-out"))
    lost = findings.by_protocol["paper"].losses[LABEL]
    assert f"{100 * lost.coe:.2f}" in svg_text(drawn / "small-losses-paper.svg")
    assert "unknown" in svg_text(drawn / "small-confusion-classifier-without-rag.svg")
