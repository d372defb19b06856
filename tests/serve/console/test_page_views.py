"""The views of leaderboards and runs in a real browser, and the layout of every view.

COE_RAY_ARTEFACTS=shots keeps a screenshot of each view at 1280 and 390 pixels, in English and light, Chinese and dark.
"""

import re
from typing import Literal

import pytest
from playwright.sync_api import expect

from tests.support.browser import WIDTHS, BrowserPage, TestBrowser
from tests.support.console_models import ECHO
from tests.support.console_world import EXPERTS, MARKDOWN, RUN, TASKS, ConsoleWorld, Live


class TestLeaderboard:
    def test_the_heat_map_has_every_score(self, console: BrowserPage) -> None:
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

    def test_two_versions_are_compared(self, console: BrowserPage) -> None:
        console.open("leaderboard")
        console.page.select_option("#board-other", index=1)
        expect(console.page.locator(".diff")).to_be_visible()
        changes = console.texts(".diff tbody td:not(.asked)")
        assert len(changes) == len(TASKS) * len(EXPERTS)
        assert all(re.match(r"(◆\s+intervals do not overlap\s+)?([+−][\d.]+|0\.0)\s", each) for each in changes)
        assert {"+", "−"} <= {each.split()[-4][0] for each in changes}
        assert any("before" in each and "as before" not in each for each in console.texts(".diff .asked"))
        assert console.page.evaluate("document.activeElement.id") == "board-other"

    def test_another_version_is_shown(self, console: BrowserPage) -> None:
        console.open("leaderboard")
        console.page.select_option("#board-version", index=1)
        expect(console.page.locator("#boards .made")).to_contain_text("dev-1")


class TestRuns:
    def test_a_running_job_is_followed_to_its_end(self, console: BrowserPage, console_world: ConsoleWorld) -> None:
        live = Live.begun(console_world.runs / "live", console_world.profile)
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
        live.finish(console_world.profile)
        expect(page.locator("#run-facts")).to_contain_text("finished")
        expect(page.locator("#row-count")).to_have_text("1 to 25 of 200 rows")
        assert page.locator("#run-live section").count() == 0

    def test_a_stopped_run_is_shown_as_such(self, console: BrowserPage) -> None:
        console.open("runs/night-shift")
        expect(console.page.locator("#run-live")).to_contain_text("131 of 280 questions")
        assert "The same command goes on where it stopped." in console.text("#run-live")
        assert "2 h" in console.text("#run-live")

    def test_rows_are_filtered_paged_and_opened(self, console: BrowserPage) -> None:
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

    def test_a_filter_without_rows_is_explained(self, console: BrowserPage) -> None:
        console.open(f"{RUN}?task=Plan&outcome=refused&system=timeseries")
        expect(console.page.locator("#row-count")).to_have_text("No row is like that.")

    def test_a_missing_run_is_explained(self, browser: TestBrowser, console_world: ConsoleWorld) -> None:
        missing = "error: Failed to load resource: the server responded with a status of 404 (Not Found)"
        with browser.open_page(console_world.url, key=console_world.key, complaints=[missing]) as console:
            console.open("runs/nothing")
            expect(console.page.locator("#problem")).to_contain_text("there is no such run here")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("scheme", "locale"), [("light", "en-US"), ("dark", "zh-CN")])
def test_every_view_has_a_clean_layout_and_is_accessible(
    browser: TestBrowser, console_world: ConsoleWorld, width: int, scheme: Literal["light", "dark"], locale: str
) -> None:
    at_work = Live.begun(console_world.runs / "at-work", console_world.profile)
    with browser.open_page(
        console_world.url, key=console_world.key, width=width, scheme=scheme, locale=locale
    ) as console:

        def check(name: str) -> None:
            browser.save_screenshot(console, f"{name}-{width}-{scheme}-{locale[:2]}")
            console.assert_looks_right()
            console.assert_accessible()

        page = console.page
        console.open()
        page.wait_for_selector("#examples li")
        check("ask")
        page.locator("#examples button").nth(5 if locale == "en-US" else 2).click()
        page.click("#send")
        expect(page.locator(".answer")).to_be_visible()
        console.assert_accessible()
        console.wait_for_answer()
        check("reply")
        console.show_reasons()
        page.locator(".neighbours summary").first.click()
        check("answer")
        console.ask(f"{ECHO}\n{MARKDOWN}")
        expect(page.locator(".turn")).to_have_count(2)
        console.wait_for_answer()
        page.locator(".others summary").click()
        check("markdown")
        console.open("leaderboard")
        page.wait_for_selector(".heat")
        page.select_option("#board-other", index=1)
        page.wait_for_selector(".diff")
        check("leaderboard")
        at_work.tell(90, backing_off={"RateLimited": 2, "ServerFault": 1}, failures={"ContextTooLong": 4}, failed=4)
        console.open("runs")
        page.wait_for_selector("#run-list a")
        check("runs")
        console.open("runs/at-work")
        page.wait_for_selector("#run-live section")
        check("running")
        console.open(RUN)
        page.wait_for_selector(".rows")
        check("run")
        page.locator(".rows a").nth(7).click()
        page.locator(".prompts summary").first.click()
        check("question")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_chosen_theme_is_kept(console: BrowserPage, theme: str) -> None:
    console.open()
    page = console.page
    page.click("#change-theme")
    if theme == "dark":
        page.click("#change-theme")
    page.reload()
    assert page.get_attribute("html", "data-theme") == theme
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(252, 252, 250)", "dark": "rgb(21, 24, 27)"}[theme]
