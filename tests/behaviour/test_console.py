"""The console in a real browser, on a served endpoint: asked, streamed, followed, filtered, cut off and attacked.

    COE_RAY_ARTEFACTS=shots python -m pytest tests/behaviour/test_console.py

Each page is photographed at 1280 and 390 pixels, in English and light, in Chinese and dark.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.behaviour.console_browser import PATIENCE_MS, WIDTHS, Console, Machine
from tests.behaviour.console_line import Line
from tests.behaviour.console_models import ECHO
from tests.behaviour.console_world import EXPERTS, INJECTION, TASKS, Live, build_console_world, build_runs
from tests.support.cluster import SERVE_ENVIRONMENT, Cluster

expect.set_options(timeout=PATIENCE_MS)

POD = "A pod stays in Pending. What is to be looked at first?\nA. Its events\nB. Its name"
RELEASE = "Where does a pipeline keep its password?\nA. In a secret\nB. In the README"
LONG = f"{ECHO} " + " ".join(f"word{number}" for number in range(60))
RUN = "runs/sample-test-1"
UNAUTHORIZED = "error: Failed to load resource: the server responded with a status of 401 (Unauthorized)"


@dataclass(frozen=True)
class World:
    """What is served, a key for it, and the runs that it shows."""

    url: str
    key: str
    profile: Path
    runs: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("console")
    runs = folder / "runs"
    with Cluster.started(SERVE_ENVIRONMENT | {"COE_RAY_RUNS": str(runs)}) as cluster:
        with pytest.MonkeyPatch.context() as offline:
            offline.setenv("HF_HUB_OFFLINE", "1")
            profile, key = build_console_world(folder)
        build_runs(runs, profile)
        assert cluster.deploy(profile) is None
        yield World(cluster.url, key, profile, runs)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    kept = os.environ.get("COE_RAY_ARTEFACTS")
    with Machine.started(Path(kept) if kept else tmp_path_factory.mktemp("screenshots")) as machine:
        yield machine


@pytest.fixture
def console(machine: Machine, world: World) -> Iterator[Console]:
    """A page with the key, in English."""
    with machine.console(world.url, key=world.key) as console:
        yield console


class TestAsking:
    def test_an_example_is_answered_and_its_story_told(self, console: Console) -> None:
        console.open()
        console.page.locator("#examples button").nth(1).click()
        assert "readiness probe" in console.page.input_value("#question")
        console.page.click("#send")
        console.wait_for_answer()
        steps = console.page.locator(".step")
        assert console.texts(".step h2") == ["Question", "Neighbours", "Label", "Leaderboard row", "Answer", "Time"]
        assert "4 options were found." in steps.nth(0).inner_text()
        similarities = [float(each) for each in console.texts(".neighbours .near .value")]
        assert len(similarities) == 4
        assert similarities == sorted(similarities, reverse=True)
        assert set(console.texts(".neighbours .task")) <= set(TASKS)
        assert console.text(".named") == "Operate"
        assert 0 <= float(steps.nth(2).locator(".near .value").inner_text()) <= 1
        assert "**Task: Operate**" in steps.nth(2).inner_text()
        assert [each.split()[0] for each in console.texts(".standings .who")] == [
            "basalt",
            "aria",
            "cinder",
            "timeseries",
        ]
        assert "best" in console.texts(".standings .who")[0]
        assert "runner-up" in console.texts(".standings .who")[1]
        assert "39 of 60" in console.texts(".standings .small")[0]
        assert console.text("#answer").endswith("So the answer is (A).")
        assert "by basalt" in steps.nth(4).inner_text()
        assert re.search(r"\d+ tokens · [\d.]+ tokens/s", steps.nth(4).inner_text())
        times = console.text(".legend")
        assert all(stage in times for stage in ("neighbours", "label", "row", "first words", "the rest of the answer"))
        assert re.fullmatch(r"[\d.]+ s", console.texts(".step .time")[-1])

    def test_the_answer_comes_word_by_word(self, console: Console) -> None:
        console.open()
        console.ask(LONG)
        expect(console.page.locator("#answer")).to_contain_text("word3")
        early = console.text("#answer")
        assert "word59" not in early
        assert console.page.locator(".named").is_visible()  # the decision is there before the answer
        expect(console.page.locator("#answer")).to_contain_text("word59")
        assert console.text("#answer").startswith(early)
        assert "Test" in console.text("#live") or "has answered" in console.text("#live")

    def test_what_was_tried_in_vain_is_told(self, console: Console) -> None:
        console.open()
        console.ask(RELEASE)
        console.wait_for_answer()
        first, second, *_ = console.texts(".standings .who")
        assert first.startswith("cinder")
        assert "ServerFault" in first
        assert second.startswith("aria")
        assert "answers" in second
        assert re.search(r"cinder: ServerFault after (< )?[\d.]+ m?s", console.text(".tried"))
        assert "out of memory" not in console.text("main")

    def test_a_question_of_no_task_goes_to_the_best_on_average(self, console: Console) -> None:
        console.open()
        console.ask("Which sign is Jupiter in?")
        console.wait_for_answer()
        assert console.text(".named") == "unknown"
        assert "best on average" in console.text('[data-step="label-step"]')
        assert "Mean over all tasks" in console.text('[data-step="row"]')

    def test_it_is_stopped_and_asked_again(self, console: Console) -> None:
        console.open()
        console.ask(LONG)
        expect(console.page.locator("#answer")).to_contain_text("word3")
        console.page.click("#stop")
        expect(console.page.locator("#flow-error")).to_have_text("Stopped.")
        assert console.text("#send") == "Ask again"
        assert console.page.input_value("#question") == LONG
        console.ask(POD)
        console.wait_for_answer()
        assert console.text("#send") == "Ask"

    def test_another_view_and_back_leaves_the_story_as_it_is(self, console: Console) -> None:
        console.open()
        console.ask(LONG)
        expect(console.page.locator("#answer")).to_contain_text("word3")
        console.page.click("nav a >> nth=1")
        expect(console.page.locator(".heat")).to_be_visible()
        console.page.click("nav a >> nth=0")
        console.wait_for_answer()
        assert console.text("#answer").endswith("word59")

    def test_nothing_is_asked_where_nothing_is_written(self, console: Console) -> None:
        console.open()
        console.page.click("#send")
        expect(console.page.locator("#live")).to_have_text("Write a question first, or take an example.")
        assert console.page.evaluate("document.activeElement.id") == "question"

    def test_what_the_endpoint_refuses_is_said(self, machine: Machine, world: World) -> None:
        complaint = "error: Failed to load resource: the server responded with a status of 413 (Content Too Large)"
        with machine.console(world.url, key=world.key, complaints=None) as console:
            console.open()
            console.page.evaluate("document.querySelector('#question').removeAttribute('maxlength')")
            console.page.evaluate("document.querySelector('#question').value = 'word '.repeat(300000)")
            console.page.click("#send")
            expect(console.page.locator("#flow-error")).to_contain_text("over 1048576 bytes")
            assert {each.partition(" (")[0] for each in console.complaints} <= {complaint.partition(" (")[0]}


class TestKeyboard:
    def test_a_question_without_a_mouse(self, console: Console) -> None:
        console.open()
        page = console.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "question"
        page.keyboard.type(POD)
        page.keyboard.press("Control+Enter")
        console.wait_for_answer()

    def test_focus_is_seen_and_follows_to_the_view(self, console: Console) -> None:
        console.open()
        page = console.page
        for _ in range(4):
            page.keyboard.press("Tab")
        assert console.page.evaluate("document.activeElement.textContent") == "Leaderboard"
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        expect(page.locator(".heat")).to_be_visible()
        assert page.evaluate("document.activeElement.id") == "leaderboard-title"
        assert page.title() == "Leaderboard – CoE-Ops"

    def test_who_wants_no_motion_gets_none(self, machine: Machine, world: World) -> None:
        with machine.console(world.url, key=world.key, reduced_motion="reduce") as console:
            console.open()
            console.ask(LONG)
            expect(console.page.locator("#answer")).to_contain_text("word3")
            still = "getComputedStyle(document.querySelector('.going'), '::before').animationName"
            assert console.page.evaluate(still) == "none"


class TestLanguage:
    def test_it_follows_the_browser_and_is_switched_in_the_middle_of_an_answer(
        self, machine: Machine, world: World
    ) -> None:
        with machine.console(world.url, key=world.key, locale="zh-CN") as console:
            console.open()
            page = console.page
            assert page.get_attribute("html", "lang") == "zh"
            assert console.text("h1:visible") == "提问"
            console.ask(LONG)
            expect(page.locator("#answer")).to_contain_text("word3")
            page.click("#change-language")
            assert page.get_attribute("html", "lang") == "en"
            assert console.texts(".step h2")[:3] == ["Question", "Neighbours", "Label"]
            console.wait_for_answer()
            assert console.text("#answer") == LONG.removeprefix(ECHO).strip()
            page.reload()
            assert page.get_attribute("html", "lang") == "en"
            assert page.input_value("#question") == LONG

    @pytest.mark.parametrize("place", ["ask", "leaderboard", "runs", RUN])
    def test_every_word_is_translated(self, console: Console, place: str) -> None:
        console.open(place)
        console.page.wait_for_load_state("networkidle")
        console.page.click("#change-language")
        said = console.text("body")
        english: list[str] = console.page.evaluate(
            "async () => Object.values((await import('/console/words.js')).WORDS.en).filter((text) => / /.test(text))"
        )
        assert len(english) > 50
        assert [text for text in english if "{" not in text and text in said] == []


class TestLeaderboard:
    def test_the_heat_map_has_every_score(self, console: Console) -> None:
        console.open("leaderboard")
        expect(console.page.locator(".heat")).to_be_visible()
        assert console.texts(".heat thead th") == ["Task", *EXPERTS]
        assert console.texts(".heat tbody th") == sorted(TASKS)
        cells = console.texts(".heat tbody td")
        assert len(cells) == len(TASKS) * len(EXPERTS)
        assert all(re.fullmatch(r"(▲\s+best\s+)?[\d.]+\s+[\d.]+–[\d.]+\s+\d+ of 60", each) for each in cells)
        assert console.page.locator(".heat td.best").count() == len(TASKS)
        assert "served now" in console.text("#board-version")
        assert "3,120 answers" in console.text("#boards")

    def test_two_versions_are_compared(self, console: Console) -> None:
        console.open("leaderboard")
        console.page.select_option("#board-other", index=1)
        expect(console.page.locator(".diff")).to_be_visible()
        changes = console.texts(".diff tbody td:not(.asked)")
        assert len(changes) == len(TASKS) * len(EXPERTS)
        assert all(re.match(r"(◆\s+intervals do not overlap\s+)?([+−][\d.]+|0\.0)\s", each) for each in changes)
        assert {"+", "−"} <= {each.split()[-4][0] for each in changes}
        assert any("before" in each and "as before" not in each for each in console.texts(".diff .asked"))
        assert console.page.evaluate("document.activeElement.id") == "board-other"

    def test_another_version_is_looked_at(self, console: Console) -> None:
        console.open("leaderboard")
        console.page.select_option("#board-version", index=1)
        expect(console.page.locator("#boards .made")).to_contain_text("dev-1")


class TestRuns:
    def test_a_running_job_is_followed_to_its_end(self, console: Console, world: World) -> None:
        live = Live.begun(world.runs / "live", world.profile)
        live.tell(40)
        console.open("runs")
        row = console.page.locator("#run-list tr", has_text="live")
        expect(row).to_contain_text("running")
        row.get_by_role("link").click()
        page = console.page
        expect(page.locator("#run-live")).to_contain_text("40 of 280 questions")
        live.tell(90, waiting=17, backing_off={"RateLimited": 2, "ServerFault": 1}, failures={"ContextTooLong": 4})
        expect(page.locator("#run-live")).to_contain_text("90 of 280 questions")
        assert page.get_attribute("#run-live [role=progressbar]", "aria-valuenow") == "90"
        figures = dict(zip(console.texts("#run-live dt"), console.texts("#run-live dd"), strict=True))
        assert figures["Questions a second"] == "9.5"
        assert figures["Calls in flight"] == "64"
        assert figures["Waiting for their turn"].split("\n")[0] == "17"
        assert "2 RateLimited, 1 ServerFault" in figures["Waiting to try again"]
        assert "4 ContextTooLong" in figures["Failed calls"]
        assert "about 20 s left" in console.text("#run-live")
        assert "The rows are written when the run ends." in console.text("#run-rows")
        live.finish(world.profile)
        expect(page.locator("#run-facts")).to_contain_text("finished")
        expect(page.locator("#row-count")).to_have_text("1 to 25 of 200 rows")
        assert page.locator("#run-live section").count() == 0

    def test_a_run_that_was_stopped_says_so(self, console: Console) -> None:
        console.open("runs/night-shift")
        expect(console.page.locator("#run-live")).to_contain_text("131 of 280 questions")
        assert "The same command goes on where it stopped." in console.text("#run-live")
        assert "2 h" in console.text("#run-live")

    def test_rows_are_filtered_turned_and_read(self, console: Console) -> None:
        console.open(RUN)
        page = console.page
        expect(page.locator("#row-count")).to_have_text("1 to 25 of 200 rows")
        page.click("text=Further rows")
        expect(page.locator("#row-count")).to_have_text("26 to 50 of 200 rows")
        assert page.evaluate("document.activeElement.id") == "rows"
        page.select_option("#filter-outcome", "wrong")
        expect(page.locator("#row-count")).to_contain_text("1 to")
        assert set(console.texts(".rows .outcome")) == {"✕ wrong"}
        assert page.evaluate("document.activeElement.id") == "filter-outcome"
        page.select_option("#filter-system", "coe")
        expect(page.locator(".rows td:nth-child(4)").first).to_contain_text("CoE, by")
        assert all(each.startswith("CoE, by ") for each in console.texts(".rows td:nth-child(4) > span:last-child"))
        page.locator(".rows a").first.click()
        expect(page.locator(".answers")).to_be_visible()
        assert len(console.texts(".answers > li")) == 5
        assert "the right answer" in console.text(".options .right")
        page.locator(".prompts summary", has_text="the classifier").click()
        assert "as it was sent" in console.text(".prompts")
        assert "**Task: " in console.text(".prompts details[open]")
        page.click("#row-back")
        expect(page.locator("#row-count")).to_be_visible()
        assert page.input_value("#filter-outcome") == "wrong"
        assert page.input_value("#filter-system") == "coe"
        page.click("#clear-filters")
        expect(page.locator("#row-count")).to_have_text("1 to 25 of 200 rows")
        assert page.evaluate("document.activeElement.id") == "rows"

    def test_no_row_is_said(self, console: Console) -> None:
        console.open(f"{RUN}?task=Plan&outcome=refused&system=timeseries")
        expect(console.page.locator("#row-count")).to_have_text("No row is like that.")

    def test_a_run_that_is_not_there(self, machine: Machine, world: World) -> None:
        missing = "error: Failed to load resource: the server responded with a status of 404 (Not Found)"
        with machine.console(world.url, key=world.key, complaints=[missing]) as console:
            console.open("runs/nothing")
            expect(console.page.locator("#problem")).to_contain_text("there is no such run here")


class TestKeys:
    def test_it_is_asked_for_once_and_stays_in_the_tab(self, machine: Machine, world: World) -> None:
        with machine.console(world.url, complaints=[UNAUTHORIZED]) as console:
            console.open()
            page = console.page
            assert page.locator("#key-dialog").is_visible()
            console.assert_accessible()
            machine.keep(console, "key-1280-light-en")
            page.fill("#key", "coe-wrong")
            page.keyboard.press("Enter")
            expect(page.locator("#key-wrong")).to_contain_text("This key is not known here.")
            assert page.locator("#key-dialog").is_visible()
            page.fill("#key", world.key)
            page.click("#key-form button.main")
            expect(page.locator("#key-dialog")).to_be_hidden()
            console.ask(POD)
            console.wait_for_answer()
            page.reload()
            page.wait_for_selector("body[data-ready]")
            assert not page.locator("#key-dialog").is_visible()
            kept: dict[str, Any] = page.evaluate("({ ...sessionStorage })")
            assert kept["coe-key"] == world.key
            assert world.key not in str(page.evaluate("({ ...localStorage })")) + page.content() + page.url
            assert page.context.cookies() == []

    def test_one_that_was_taken_away_is_asked_for_again_and_the_question_goes_on(
        self, machine: Machine, world: World
    ) -> None:
        with machine.console(world.url, key="coe-removed", complaints=[UNAUTHORIZED]) as console:
            console.open()
            console.ask(POD)
            expect(console.page.locator("#key-wrong")).to_contain_text("not known here")
            console.page.fill("#key", world.key)
            console.page.keyboard.press("Enter")
            console.wait_for_answer()

    def test_who_has_none_is_told(self, machine: Machine, world: World) -> None:
        with machine.console(world.url, complaints=[UNAUTHORIZED]) as console:
            console.open("leaderboard")
            console.page.keyboard.press("Escape")
            expect(console.page.locator("#key-dialog")).to_be_visible()  # the view asks for it
            console.page.click("#key-later")
            expect(console.page.locator("#problem")).to_contain_text("401")
            console.page.click("#change-key")
            console.page.fill("#key", world.key)
            console.page.keyboard.press("Enter")
            expect(console.page.locator(".heat")).to_be_visible()


class TestGone:
    def test_the_endpoint_goes_and_comes_back(self, machine: Machine, world: World) -> None:
        with (
            Line.laid(urlsplit(world.url).port or 0) as line,
            machine.console(line.url, key=world.key, complaints=None) as console,
        ):
            console.open()
            page = console.page
            console.ask(LONG)
            expect(page.locator("#answer")).to_contain_text("word3")
            line.cut()
            expect(page.locator("#gone")).to_be_visible()
            assert "The endpoint does not answer." in console.text("#gone")
            assert console.text("#health") == "The endpoint does not answer."
            expect(page.locator("#flow-error")).to_contain_text("Your question is still here")
            assert page.input_value("#question") == LONG
            page.fill("#question", POD)
            machine.keep(console, "gone-1280-light-en")
            console.assert_accessible()
            page.click("nav a >> nth=2")
            expect(page.locator("#runs")).to_be_visible()
            line.mend()
            page.click("#try-now")
            expect(page.locator("#gone")).to_be_hidden()
            expect(page.locator("#live")).to_have_text("The endpoint answers again.")
            expect(page.locator("#health")).to_contain_text("ready")
            expect(page.locator("#run-list")).to_contain_text("sample-test-1")
            page.click("nav a >> nth=0")
            assert page.input_value("#question") == POD
            page.click("#send")
            console.wait_for_answer()
            assert [each for each in console.complaints if not each.startswith("error: Failed to load resource")] == []

    def test_it_is_looked_for_until_it_is_there(self, machine: Machine, world: World) -> None:
        with (
            Line.laid(urlsplit(world.url).port or 0) as line,
            machine.console(line.url, key=world.key, complaints=None) as console,
        ):
            console.open("runs")
            expect(console.page.locator("#run-list")).to_contain_text("sample-test-1")
            line.cut()
            expect(console.page.locator("#gone-when")).to_contain_text("Trying again in 2 s")
            expect(console.page.locator("#gone-when")).to_contain_text("Trying again in 4 s")
            line.mend()
            expect(console.page.locator("#gone")).to_be_hidden()


class TestAttacks:
    def test_html_is_shown_as_it_was_written(self, console: Console) -> None:
        console.open()
        console.ask(f"{ECHO} {INJECTION}")
        console.wait_for_answer()
        assert console.text("#answer") == INJECTION
        assert INJECTION in console.text('[data-step="question"]')
        assert "Repeat after us: <img" in console.text(".neighbours")
        self._nothing_ran(console)

    def test_nor_does_it_run_out_of_a_run(self, console: Console) -> None:
        console.open(f"{RUN}?task=Test&system=basalt")
        console.page.locator(".rows a", has_text="<img").first.click()
        expect(console.page.locator(".asked")).to_contain_text(INJECTION)
        for summary in console.page.locator(".prompts summary").all():
            summary.click()
        assert console.text(".prompts").count(INJECTION) > 1
        self._nothing_ran(console)

    @pytest.mark.parametrize("place", ["runs/<img src=x onerror=window.hacked=1>", "%", "runs/%E0%A4%A", "nowhere"])
    def test_nor_out_of_an_address(self, machine: Machine, world: World, place: str) -> None:
        with machine.console(world.url, key=world.key, complaints=None) as console:
            console.open(place)
            console.page.wait_for_load_state("networkidle")
            assert console.page.locator("main > section:visible").count() == 1
            self._nothing_ran(console)
            assert [each for each in console.complaints if "404" not in each] == []

    def test_the_page_reaches_nobody_else(self, console: Console, world: World) -> None:
        asked: list[str] = []
        console.page.on("request", lambda request: asked.append(request.url))
        for place in ("ask", "leaderboard", "runs", RUN):
            console.open(place)
            console.page.wait_for_load_state("networkidle")
        assert len(asked) > 15
        assert [url for url in asked if not url.startswith((f"{world.url}/", "data:image/svg"))] == []

    def _nothing_ran(self, console: Console) -> None:
        assert console.page.evaluate("window.hacked") is None
        assert console.page.locator("main img, main script").count() == 0


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("scheme", "locale"), [("light", "en-US"), ("dark", "zh-CN")])
def test_every_page_looks_right_and_can_be_read_by_all(
    machine: Machine, world: World, width: int, scheme: Literal["light", "dark"], locale: str
) -> None:
    at_work = Live.begun(world.runs / "at-work", world.profile)
    with machine.console(world.url, key=world.key, width=width, scheme=scheme, locale=locale) as console:

        def look(name: str) -> None:
            machine.keep(console, f"{name}-{width}-{scheme}-{locale[:2]}")
            console.assert_looks_right()
            console.assert_accessible()

        page = console.page
        console.open()
        page.wait_for_selector("#examples li")
        look("ask")
        page.locator("#examples button").nth(5 if locale == "en-US" else 2).click()
        page.click("#send")
        expect(page.locator("#answer")).to_be_visible()
        console.assert_accessible()
        console.wait_for_answer()
        page.locator(".neighbours summary").first.click()
        look("answer")
        console.open("leaderboard")
        page.wait_for_selector(".heat")
        page.select_option("#board-other", index=1)
        page.wait_for_selector(".diff")
        look("leaderboard")
        at_work.tell(90, backing_off={"RateLimited": 2, "ServerFault": 1}, failures={"ContextTooLong": 4}, failed=4)
        console.open("runs")
        page.wait_for_selector("#run-list a")
        look("runs")
        console.open("runs/at-work")
        page.wait_for_selector("#run-live section")
        look("running")
        console.open(RUN)
        page.wait_for_selector(".rows")
        look("run")
        page.locator(".rows a").nth(7).click()
        page.locator(".prompts summary").first.click()
        look("question")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_theme_that_was_chosen_stays(console: Console, theme: str) -> None:
    console.open()
    page = console.page
    page.click("#change-theme")
    if theme == "dark":
        page.click("#change-theme")
    page.reload()
    assert page.get_attribute("html", "data-theme") == theme
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(252, 252, 250)", "dark": "rgb(21, 24, 27)"}[theme]
