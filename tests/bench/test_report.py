"""The report and the terminal table: what they say, that text stays text, and that nothing is fetched."""

import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from coe_ray.analysis.metrics import Graded, classifier_metrics, grade, system_metrics
from coe_ray.bench.report import render_report, render_table
from coe_ray.bench.report.lost import losses
from coe_ray.bench.report.reading import by_task
from coe_ray.bench.report.words import about, chance, money, points, sentence
from coe_ray.core.run_folder import RunFolder
from coe_ray.profile.tasks import DEVOPS_EVAL_A, DEVOPS_EVAL_B
from tests.bench.report_world import HOSTILE, SKILLS, Plan, planted_run

SET_A = tuple(task.name for task in DEVOPS_EVAL_A)
SET_B = tuple(task.name for task in DEVOPS_EVAL_B)
SCRIPT = "<script>alert('x')</script>"


def system(name: str, right: int, of: int = 20, *, failed: int = 0, tasks: tuple[str, ...] = SET_A) -> Any:
    """Figures of a system that gets the first `right` of `of` questions right, in each task."""
    rows = [
        Graded(task, "A", letter, grade(letter, "A", failed=number >= of))
        for task in tasks
        for number in range(of + failed)
        for letter in ["A" if number < right else "B"]
    ]
    return system_metrics(rows)


def summary(systems: Mapping[str, Any], *, tasks: tuple[str, ...] = SET_A, **changes: Any) -> dict[str, Any]:
    """A summary as it comes back from `summary.json`."""
    pairs = [(task, task) for task in tasks] + [(tasks[0], "unknown")]
    whole = {
        "rows": 100,
        "rejected": 3,
        "incomplete": False,
        "systems": systems,
        "classifier": classifier_metrics(pairs, tasks),
        "calls": {"issued": 1200, "completed": 1199, "reused": 30, "repeated": 2, "abandoned": 1, "retried": 4}
        | {"failed": 0, "prompt_tokens": 90_000, "completion_tokens": 12_345, "cost": None, "by_model": {}},
        "failures": [],
        "seconds": 3723.4,
        "profile": "local-cpu",
        "version": "0.1.0",
        "data": "sample",
        "split": "test",
        "commit": "3f2a9c1d",
        "command": "python jobs/bench.py --data sample",
        "created": "2025-06-01T14:05:33+00:00",
        "leaderboard": {"version": "v7", "mapping": "cross-fitted", "note": "Five folds."},
        **changes,
    }
    back: dict[str, Any] = json.loads(json.dumps(whole))
    return back


class Page(HTMLParser):
    """Tags, attributes and visible text of a report; the tables by the names of their regions, a list a row."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self._text: list[str] = []
        self._region = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend(attrs)
        self._region = dict(attrs).get("aria-label") or self._region
        if tag == "table":
            self.tables[self._region] = []
        elif tag == "tr":
            self.tables[self._region].append([])
        elif tag in ("td", "th"):
            self.tables[self._region][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self._region = ""

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] != "style":
            self._text.append(data)
        rows = self.tables.get(self._region)
        if rows and rows[-1]:
            rows[-1][-1] = " ".join(f"{rows[-1][-1]} {data}".split())

    def column(self, table: str, name: str) -> dict[str, str]:
        """A column by its heading: each row's cell by the row's first one."""
        heading, *rows = self.tables[table]
        place = heading.index(name)
        return {row[0]: row[place] for row in rows}

    @property
    def text(self) -> str:
        return " ".join("".join(self._text).split())


def page(systems: Mapping[str, Any], **changes: Any) -> Page:
    return Page(render_report(summary(systems, **changes)))


PAIRED = {
    "best_single": "rival",
    "questions": 90,
    "method": "clustered bootstrap",
    "difference": 0.032,
    "low": 0.004,
    "high": 0.06,
    "only_first": 45,
    "only_second": 26,
    "p_mcnemar": 0.031,
    "p_bootstrap": 0.004,
    "needed": 1234,
}
"""A verdict as insights tell it: CoE is better, and that is very sure."""


def paired(**changes: Any) -> Page:
    systems = {"coe": system("coe", 10), "rival": system("rival", 9)}
    return page(systems, verdict={**PAIRED, **changes}, losses=None)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The summary of a whole run, failed calls and all."""
    return planted_run(tmp_path_factory.mktemp("planted"), Plan(per_task=24, outages=0.01))


@pytest.fixture(scope="module")
def shown(run: dict[str, Any]) -> Page:
    return Page(render_report(run))


def test_the_verdict_names_difference_rival_and_that_intervals_are_apart() -> None:
    text = page({"weak": system("weak", 2), "coe": system("coe", 19), "strong": system("strong", 10)}).text
    assert "CoE is 45.0 points above strong" in text
    assert "The intervals do not overlap." in text
    assert "Incomplete" not in text


@pytest.mark.parametrize(("right", "headline"), [(9, "5.0 points below rival"), (10, "level with rival")])
def test_the_verdict_says_when_the_figures_do_not_tell_systems_apart(right: int, headline: str) -> None:
    text = page({"coe": system("coe", right), "rival": system("rival", 10)}).text
    assert f"CoE is {headline}" in text
    assert "The intervals overlap" in text


@pytest.mark.parametrize(
    ("systems", "headline"),
    [
        ({"coe": system("coe", 10)}, "CoE answers 50.0% of the questions right"),
        (
            {"coe": system("coe", 10), "down": system("down", 0, 0, failed=2)},
            "CoE answers 50.0% of the questions right",
        ),
        ({"coe": system("coe", 0, 0, failed=2), "x": system("x", 5)}, "No answer of CoE could be scored"),
        ({"coe": system_metrics([])}, "No answer of CoE could be scored"),
    ],
    ids=["no expert", "expert without figures", "coe without figures", "nothing at all"],
)
def test_without_two_figures_nothing_is_compared(systems: Mapping[str, Any], headline: str) -> None:
    whole = summary(systems)
    assert headline in Page(render_report(whole)).text
    assert "coe" in render_table(whole)


def test_failed_rows_make_it_incomplete_everywhere() -> None:
    whole = summary({"coe": system("coe", 10, failed=1), "x": system("x", 10, failed=1)}, incomplete=True)
    for text in (Page(render_report(whole)).text, render_table(whole)):
        assert "Incomplete: 10 answers failed and are left out" in text


def test_a_run_that_stopped_early_is_incomplete_without_failures() -> None:
    assert "Incomplete: not every question has been answered." in page({"coe": system("coe", 1)}, incomplete=True).text


@pytest.mark.parametrize(
    ("changes", "headline", "sure", "why"),
    [
        ({}, "CoE is 3.2 points above rival", "Very sure.", "about 4 of 1,000 such runs"),
        ({"p_bootstrap": 0.0001}, "3.2 points above rival", "Very sure.", "fewer than 1 of 1,000 such runs"),
        ({"p_bootstrap": 0.03}, "3.2 points above rival", "Fairly sure.", "about 3 of 100 such runs"),
        ({"p_bootstrap": 0.23, "low": -0.01}, "3.2 points above rival", "Not sure.", "about 23 of 100 such runs"),
        ({"p_bootstrap": 1.0, "low": -0.01}, "3.2 points above rival", "Not sure.", "in nearly every such run"),
        ({"difference": -0.05, "low": -0.09, "high": -0.01}, "5.0 points below rival", "Very sure.", "about 4 of"),
        (
            {"difference": 0.0, "low": -0.02, "high": 0.02, "only_first": 9, "only_second": 9, "p_bootstrap": 1.0}
            | {"needed": None},
            "CoE is level with rival",
            "No difference.",
            "right where the other is wrong equally often",
        ),
    ],
)
def test_the_verdict_says_how_sure_it_is(changes: dict[str, Any], headline: str, sure: str, why: str) -> None:
    text = paired(**changes).text
    assert headline in text
    assert sure in text
    assert why in text
    assert all(other in sure or other not in text for other in ("Very sure", "Fairly sure", "Not sure"))


def test_the_verdict_gives_its_interval_and_figures() -> None:
    text = paired().text
    assert "The difference lies between +0.4 and +6.0 points (95% interval)." in text
    assert "On the 90 of 100 questions that every expert answered" in text
    for figure in ("+0.4 to +6.0", "p, bootstrap0.004", "p, McNemar0.031", "Only CoE right45", "the other right26"):
        assert figure in text
    assert "Resamplingclustered bootstrap" in text


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({"p_bootstrap": 0.2}, "It would take about 1,200 questions to tell the two apart; this run has 90."),
        ({"p_bootstrap": 0.2, "needed": 60}, "About 60 independent questions would do to tell the two apart"),
        ({"needed": 60}, "About 60 questions are enough to see a difference of this size four times out of five."),
    ],
)
def test_the_verdict_says_how_many_questions_it_takes(changes: dict[str, Any], needed: str) -> None:
    assert needed in paired(**changes).text
    assert "Questions needed" not in paired(needed=None).text


def test_where_interval_and_test_part_the_test_is_believed() -> None:
    told = "the test is the one to believe"
    assert told in paired(p_bootstrap=0.06).text
    assert told in paired(low=-0.001).text
    assert told not in paired().text


def test_a_summary_of_an_older_release_has_a_report() -> None:
    whole = summary({"coe": system("coe", 10), "x": system("x", 5)})
    del whole["calls"]["by_model"]
    text = Page(render_report(whole)).text
    for section in ("What is lost where", "Cost against accuracy", "Instructive misroutes", "Sure"):
        assert section not in text
    assert "How this was made" in text


@pytest.mark.parametrize(
    "told", [dict.fromkeys(("verdict", "bounds", "losses", "regret", "costs")) | {"misroutes": []}]
)
def test_a_run_without_a_complete_question_has_a_report(told: dict[str, Any]) -> None:
    text = page({"coe": system("coe", 10), "x": system("x", 5)}, **told).text
    assert "CoE is 25.0 points above x" in text
    assert "What is lost where" not in text


# Drawings and their tables


def test_every_drawing_says_what_it_is_or_is_left_to_its_table(shown: Page) -> None:
    drawings = shown.tags.count("svg")
    named = [value for name, value in shown.attributes if name == "aria-label" and "figures stand" in (value or "")]
    assert len(named) == 3
    assert drawings > 10
    assert shown.attributes.count(("role", "img")) + shown.attributes.count(("aria-hidden", "true")) >= drawings - 3


def test_every_table_can_scroll_and_be_reached_by_keyboard(shown: Page) -> None:
    assert shown.tags.count("table") == len(shown.tables) == 8
    assert shown.attributes.count(("tabindex", "0")) == 7  # the losses' is as wide as there is room


def test_the_table_beside_the_radar_has_its_figures(run: dict[str, Any], shown: Page) -> None:
    drawn = by_task(run)
    assert drawn is not None
    assert drawn.lines[0].name == "coe"
    assert len(drawn.lines) == 4
    best = sorted(SKILLS, key=lambda name: -run["systems"][name]["accuracy"])[:3]
    assert [line.name for line in drawn.lines][1:] == best
    for name in ("coe", *best):
        cells = shown.column("Accuracy by task, table", "CoE" if name == "coe" else name)
        for task, figures in run["systems"][name]["per_task"].items():
            assert f"{100 * figures['accuracy']:.1f} {figures['correct']} of {figures['total']}" in cells[task]


def test_two_tasks_are_drawn_as_intervals() -> None:
    whole = summary({"coe": system("coe", 10, tasks=SET_A[:2])}, tasks=SET_A[:2])
    assert by_task(whole) is None
    shown = Page(render_report(whole))
    assert "The lines are 95% intervals" in shown.text
    assert ("class", "chart") not in shown.attributes


def test_losses_lead_from_the_question_oracle_to_coe(run: dict[str, Any], shown: Page) -> None:
    drawn, lost = losses(run), run["losses"]
    assert drawn is not None
    ends = [step.end for step in drawn.steps]
    assert ends[0] == lost["question_oracle"]
    assert ends[2] == pytest.approx(ends[3]) == pytest.approx(lost["task_oracle"])
    assert ends[5] == pytest.approx(ends[6]) == pytest.approx(lost["coe"])
    assert all(
        before.end == pytest.approx(after.start) for before, after in zip(drawn.steps, drawn.steps[1:], strict=False)
    )
    cells = {row[0]: row[-1] for row in shown.tables["Losses, table"]}
    for name in ("extraction", "mapping", "unknown", "classification"):
        assert cells[name.capitalize()] == points(-lost[name])
    assert cells["Question oracle"] == f"{100 * lost['question_oracle']:.1f}"
    assert cells["CoE"] == f"{100 * lost['coe']:.1f}"


def test_a_loss_below_zero_is_told_to_be_a_gain(run: dict[str, Any]) -> None:
    won = {
        **run["losses"],
        "classification": -0.05,
        "coe": run["losses"]["task_oracle"] - run["losses"]["unknown"] + 0.05,
    }
    html = render_report({**run, "losses": won})
    assert "Here it is a gain" in html
    assert "+5.0" in Page(html).text
    assert 'class="gain"' in html


def test_regret_is_sorted_by_its_size(run: dict[str, Any], shown: Page) -> None:
    cells = shown.column("Regret by task, table", "Regret")
    assert list(cells) == sorted(run["regret"], key=lambda task: (-run["regret"][task]["regret"], task))
    assert cells == {task: points(row["regret"]) for task, row in run["regret"].items()}


def test_costs_tell_who_is_on_the_front(run: dict[str, Any], shown: Page) -> None:
    rows = shown.column("Cost and accuracy, table", "On the front")
    cost = shown.column("Cost and accuracy, table", "Cost")
    assert cost == {"CoE" if name == "coe" else name: money(each["cost"]) for name, each in run["costs"].items()}
    assert rows["smollm2-135m"] == "yes"  # the cheapest
    best = max(run["costs"], key=lambda name: (run["costs"][name]["accuracy"], -run["costs"][name]["cost"]))
    assert rows["CoE" if best == "coe" else best] == "yes"
    assert set(rows.values()) == {"yes", "no"}


def test_without_all_prices_tokens_are_compared(run: dict[str, Any]) -> None:
    costs = {**run["costs"], "smollm2-135m": {**run["costs"]["smollm2-135m"], "cost": None}}
    text = Page(render_report({**run, "costs": costs})).text
    assert "In tokens, as not every system has a price" in text
    assert "tokens →" in text


def test_without_tokens_no_cost_is_drawn(run: dict[str, Any]) -> None:
    costs = {name: {"tokens": 0, "cost": None} for name in run["costs"]}
    assert "No tokens were counted." in Page(render_report({**run, "costs": costs})).text


def test_calls_are_told_by_model(run: dict[str, Any], shown: Page) -> None:
    issued = shown.column("Calls by model, table", "Issued")
    assert issued == {name: f"{each['issued']:,}" for name, each in run["calls"]["by_model"].items()}
    assert shown.column("Calls by model, table", "Cost")["sorter"] == "0.0421"


def test_dead_letters_say_what_to_do(run: dict[str, Any], shown: Page) -> None:
    assert shown.column("Dead letters, table", "Calls") == {
        each["model"]: str(each["calls"]) for each in run["failures"]
    }
    assert set(shown.column("Dead letters, table", "What to do").values()) == {"Run the same command to ask again."}
    assert "No call failed for good." in page({"coe": system("coe", 1)}).text


def test_misroutes_tell_their_story(run: dict[str, Any], shown: Page) -> None:
    assert len(run["misroutes"]) > 4
    for each in run["misroutes"]:
        assert f"{each['task']}, taken for {each['label']} with confidence {each['confidence']:.2f}" in shown.text
        assert f"{each['asked']['expert']} was asked" in shown.text
        assert f"{each['meant']['expert']} would have been asked, as best at {each['task']}" in shown.text
    assert "the right answer" in shown.text


def test_long_texts_are_folded(run: dict[str, Any]) -> None:
    first = {**run["misroutes"][0], "text": "q" * 500}
    long = Page(render_report({**run, "misroutes": [first]}))
    assert "The whole text, 500 characters" in long.text
    assert "q" * 500 in long.text
    short = {**first, "text": "why?", **{name: {**first[name], "text": "(A)"} for name in ("asked", "meant")}}
    assert "details" not in Page(render_report({**run, "misroutes": [short]})).tags


# Text of others


def test_whatever_models_and_questions_say_stays_text(tmp_path: Path) -> None:
    whole = planted_run(tmp_path, Plan(per_task=12, outages=0.02, hostile=True, experts=(*list(SKILLS)[:2], HOSTILE)))
    html = (RunFolder(tmp_path / "run").root / "report.html").read_text("utf-8")
    assert html == render_report(RunFolder(tmp_path / "run").read_summary())
    assert whole["misroutes"]
    assert whole["failures"]
    tags = {*Page(html).tags}
    assert not tags & {"script", "img", "iframe", "a", "link"}
    assert html.count("</style>") == 1
    assert html.lower().count("onerror=") == html.lower().count("onerror=&#34;")
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


def test_how_it_was_made_is_told() -> None:
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


def test_a_classifier_that_was_never_asked_shows_dashes() -> None:
    text = page({"coe": system("coe", 10)}, classifier=classifier_metrics([], SET_A)).text
    assert "over 0 questions" in text
    assert "nan" not in text.lower().split()


def test_the_table_puts_coe_first_then_the_most_accurate() -> None:
    systems = {"low": system("low", 1), "down": system("down", 0, 0, failed=1), "high": system("high", 19)}
    lines = render_table(summary({**systems, "coe": system("coe", 10)})).splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["coe", "high", "low", "down"]
    assert lines[1].split() == ["coe", "50.0", "±", "9.6", "50", "50", "0", "0", "0"]
    assert lines[4].split()[:2] == ["down", "–"]


def test_short_task_names_are_spelled_out_below() -> None:
    table = " ".join(render_table(summary({"coe": system("coe", 10)})).split())
    assert "by task, % LP RCA TSAD TSC TSF" in table
    assert "TSAD = Time Series Anomaly Detection" in table


def test_tasks_with_equal_initials_are_numbered() -> None:
    tasks = ("Root Cause Analysis", "Risk Control Analysis")
    table = render_table(summary({"coe": system("coe", 10, tasks=tasks)}, tasks=tasks))
    assert "T1 = Root Cause Analysis\nT2 = Risk Control Analysis" in table


def columns(line: str) -> int:
    return sum(2 if "一" <= character <= "鿿" else 1 for character in line)


@pytest.mark.parametrize("tasks", [SET_A, SET_B, tuple(f"任务名称很长很长{n}" for n in range(8))])
def test_the_table_keeps_to_a_hundred_columns(tasks: tuple[str, ...]) -> None:
    names = (
        "coe",
        "a-model-with-a-name-that-goes-on-and-on-7B-Instruct-v0.3",
        "一个名字非常非常非常非常长的中文大语言模型",
    )
    systems = {name: system(name, 20, failed=2, tasks=tasks) for name in names}
    table = render_table(summary(systems, tasks=tasks))
    assert max(map(columns, table.splitlines())) <= 100
    assert "by task" in table


def test_nine_tasks_are_left_to_the_report() -> None:
    tasks = tuple(f"Task {number}" for number in range(9))
    assert "by task" not in render_table(summary({"coe": system("coe", 1, tasks=tasks)}, tasks=tasks))


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (money(None), "–"),
        (money(0), "0.00"),
        (money(1234.567), "1,234.57"),
        (money(0.04211), "0.0421"),
        (money(1e-12), "0.00000000"),
        (points(0.0004), "0.0"),
        (points(-0.0123), "−1.2"),
        (about(12866), "13,000"),
        (about(7), "7"),
        (chance(0.0001), "< 0.001"),
        (chance(0.031), "0.031"),
        (chance(0.72), "0.72"),
        (sentence("why not?"), "Why not?"),
        (sentence(""), "."),
    ],
)
def test_numbers_are_written_as_people_do(written: str, wanted: str) -> None:
    assert written == wanted
