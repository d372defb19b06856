"""Charts of the report: each is named, and its figures are those of the table beside it."""

from typing import Any

import pytest
from matplotlib.figure import Figure

from coe_ray.analysis.charts import render_svg
from coe_ray.bench.report import charts, render_report
from coe_ray.bench.report.charts import costs
from coe_ray.bench.report.sections import ranked
from tests.analysis.charts.inspection import range_lines, series_lines, svg_text, xs
from tests.bench.report.planted_run import SKILLS
from tests.bench.report.summaries import SET_A, Page, summary, system


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are drawn from here on."""
    figures: list[Figure] = []

    def keep(figure: Figure, *names: str) -> str:
        figures.append(figure)
        return render_svg(figure, *names)

    monkeypatch.setattr(charts, "render_svg", keep)
    return figures


def series_of(figure: Figure) -> dict[str, list[float]]:
    """Name in the legend → the values of a chart with rows."""
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    return {name: xs(line) for name, line in zip(names, series_lines(figure), strict=True)}


def test_every_chart_has_a_name_a_description_and_a_table(shown: Page) -> None:
    assert shown.tags.count("svg") == shown.tags.count("desc") == 6
    assert shown.tags.count("title") == 1 + 6
    assert shown.attributes.count(("role", "img")) == 6
    identifiers = [value for name, value in shown.attributes if name == "id"]
    assert len(identifiers) == len({*identifiers})
    references = [value for name, value in shown.attributes if name in ("aria-labelledby", "aria-describedby")]
    assert {*references} <= {*identifiers}
    assert shown.text.count("Its figures stand") == 6


def test_the_radar_has_coe_and_the_best_experts_with_the_figures_of_the_table(
    run: dict[str, Any], shown: Page, drawn: list[Figure]
) -> None:
    text = svg_text(charts.draw_tasks(run))
    best = sorted(SKILLS, key=lambda name: -run["systems"][name]["accuracy"])[:3]
    names = [label.get_text() for label in drawn[0].legends[0].get_texts()]
    assert [name.partition(",")[0] for name in names[:1]] == ["CoE"]
    assert len(names) == 4
    assert all(f"{100 * run['systems'][name]['accuracy']:.1f}%" in text for name in ("coe", *best))
    for name in ("coe", *best):
        cells = shown.column("Accuracy by task, table", "CoE" if name == "coe" else name)
        for task, figures in run["systems"][name]["per_task"].items():
            assert f"{100 * figures['accuracy']:.1f} {figures['correct']} of {figures['total']}" in cells[task]
            assert all(word in text for word in task.split())


def test_two_tasks_are_drawn_as_intervals(drawn: list[Figure]) -> None:
    whole = summary({"coe": system("coe", 10, tasks=SET_A[:2])}, tasks=SET_A[:2])
    shown = Page(render_report(whole))
    assert "The lines are 95% intervals" in shown.text
    (figure,) = [figure for figure in drawn if len(figure.axes[0].get_yticks()) == 2]
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert all(row.startswith("CoE: ") for row in rows)
    ends = [xs(line) for line in range_lines(figure)]
    intervals = [whole["systems"]["coe"]["per_task"][task]["ci95"] for task in SET_A[:2]]
    assert ends == [pytest.approx([100 * end for end in interval]) for interval in intervals]


def test_more_tasks_than_a_radar_shows_are_left_to_the_table() -> None:
    tasks = tuple(f"Task {number}" for number in range(37))
    assert charts.draw_tasks(summary({"coe": system("coe", 1, tasks=tasks)}, tasks=tasks)) == ""


def test_systems_stand_at_their_accuracies(run: dict[str, Any], drawn: list[Figure]) -> None:
    systems = ranked(run["systems"])
    charts.draw_systems(systems)
    series = series_of(drawn[0])
    assert series["CoE"][0] == pytest.approx(100 * systems["coe"]["accuracy"])
    experts = [100 * system["accuracy"] for name, system in systems.items() if name != "coe"]
    assert series["single expert"][1:] == pytest.approx(experts)


def test_the_difference_stands_with_its_interval(run: dict[str, Any], drawn: list[Figure]) -> None:
    charts.draw_difference(run["verdict"])
    lines = [xs(line) for line in drawn[0].axes[0].lines]
    low, value, high = (100 * run["verdict"][name] for name in ("low", "difference", "high"))
    assert lines == [[0, 0], pytest.approx([low, high]), pytest.approx([value])]


def test_regret_stands_at_its_accuracies(run: dict[str, Any], drawn: list[Figure]) -> None:
    charts.draw_regret(run["regret"])
    series = series_of(drawn[0])
    for name, key in {
        "CoE": "coe",
        "best expert of the task": "best_single",
        "question oracle": "question_oracle",
    }.items():
        assert series[name] == pytest.approx([100 * row[key] for row in run["regret"].values()])


def test_costs_have_every_system_by_name(run: dict[str, Any]) -> None:
    figures = costs(run)
    assert figures
    text = svg_text(charts.draw_costs(figures))
    assert all(("CoE" if name == "coe" else name[:8]) in text for name in run["costs"])
