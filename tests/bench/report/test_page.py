"""Report page: its sections and tables, that text stays text, and that nothing is fetched."""

import re
from pathlib import Path
from typing import Any

import pytest

from coe_ray.analysis.metrics import classifier_metrics
from coe_ray.bench.report import render_report, render_table
from coe_ray.core.run_folder import RunFolder
from tests.bench.report.planted_run import HOSTILE, SKILLS, Plan, planted_run
from tests.bench.report.summaries import SET_A, Page, page, summary, system

SCRIPT = "<script>alert('x')</script>"


def test_a_summary_of_an_older_release_has_a_report() -> None:
    whole = summary({"coe": system("coe", 10), "x": system("x", 5)})
    del whole["calls"]["by_model"]
    text = Page(render_report(whole)).text
    for section in ("What is lost where", "Cost against accuracy", "Instructive misroutes", "Sure"):
        assert section not in text
    assert "How this was made" in text


@pytest.mark.parametrize(
    "changes", [dict.fromkeys(("verdict", "bounds", "losses", "regret", "costs")) | {"misroutes": []}]
)
def test_a_run_without_a_complete_question_has_a_report(changes: dict[str, Any]) -> None:
    text = page({"coe": system("coe", 10), "x": system("x", 5)}, **changes).text
    assert "CoE is 25.0 points above x" in text
    assert "What is lost where" not in text


def test_every_table_can_scroll_and_be_reached_by_keyboard(shown: Page) -> None:
    assert shown.tags.count("table") == len(shown.tables) == 8
    assert shown.attributes.count(("tabindex", "0")) == 8


def test_calls_are_listed_by_model(run: dict[str, Any], shown: Page) -> None:
    issued = shown.column("Calls by model, table", "Issued")
    assert issued == {name: f"{each['issued']:,}" for name, each in run["calls"]["by_model"].items()}
    assert shown.column("Calls by model, table", "Cost")["sorter"] == "0.0421"


def test_dead_letters_say_what_to_do(run: dict[str, Any], shown: Page) -> None:
    assert shown.column("Dead letters, table", "Calls") == {
        each["model"]: str(each["calls"]) for each in run["failures"]
    }
    assert set(shown.column("Dead letters, table", "What to do").values()) == {"Run the same command to ask again."}
    assert "No call failed for good." in page({"coe": system("coe", 1)}).text


# Hostile text


def test_whatever_models_and_questions_say_stays_text(tmp_path: Path) -> None:
    whole = planted_run(tmp_path, Plan(per_task=12, outages=0.02, hostile=True, experts=(*list(SKILLS)[:2], HOSTILE)))
    html = (RunFolder(tmp_path / "run").root / "report.html").read_text("utf-8")
    assert html == render_report(RunFolder(tmp_path / "run").read_summary())
    assert whole["misroutes"]
    assert whole["failures"]
    tags = {*Page(html).tags}
    assert not tags & {"script", "img", "iframe", "a", "link"}
    assert html.count("</style>") == 1
    assert not [name for name, _ in Page(html).attributes if name.startswith("on")]
    assert "49" not in re.findall(r"\{\{[^}]*\}\}|\b49\b(?=&)", html)
    assert Page(html).text.count("<script>window.hacked=2</script>{{ 7 * 7 }}") > 20


def test_every_name_and_note_shows_as_text() -> None:
    tasks = (SCRIPT, "Code")
    leaderboard = {"version": SCRIPT, "mapping": "profile", "note": SCRIPT}
    texts = dict.fromkeys(("profile", "version", "data", "split", "commit", "command"), SCRIPT)
    systems = {"coe": system("coe", 3, tasks=tasks), SCRIPT: system(SCRIPT, 4, tasks=tasks)}
    whole = summary(systems, tasks=tasks, leaderboard=leaderboard, **texts)
    html = render_report(whole)
    shown = Page(html)
    assert "<script" not in html.lower()
    assert "script" not in shown.tags
    assert shown.text.count(SCRIPT) >= 10


def test_nothing_is_fetched_and_nothing_runs() -> None:
    html = render_report(summary({"coe": system("coe", 10), "x": system("x", 5)}))
    shown = Page(html)
    assert not re.search(r"https?:|url\(|@import", html)
    assert not {"script", "link", "img", "iframe", "object", "form", "a"} & {*shown.tags}
    assert not [name for name, _ in shown.attributes if name.startswith("on") or name in {"src", "href"}]


def test_how_it_was_made_is_said() -> None:
    text = page({"coe": system("coe", 10)}, commit=None).text
    for part in (
        "1 June 2025, 14:05 UTC",
        "1 h 2 min",
        "local-cpu",
        "python jobs/bench.py --data sample",
        "v7",
    ):
        assert part in text
    assert "not known" in text
    assert "no question was routed by a leaderboard that had seen its own answer. Five folds." in text
    assert "1,200" in text


def test_the_best_expert_of_a_task_is_marked_by_a_sign_and_coe_never_is() -> None:
    whole = summary({"coe": system("coe", 20), "a": system("a", 10), "b": system("b", 10), "c": system("c", 9)})
    assert render_report(whole).count("▲ </span>") == 2 * len(SET_A)  # a and b are equals
    assert render_table(whole).count("50.0*") == 2 * len(SET_A)
    assert "100.0*" not in render_table(whole)


def test_a_classifier_without_questions_shows_dashes() -> None:
    text = page({"coe": system("coe", 10)}, classifier=classifier_metrics([], SET_A)).text
    assert "over 0 questions" in text
    assert "nan" not in text.lower().split()
