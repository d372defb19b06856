"""The page in a real browser without a key, without its endpoint, and under attack."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.support.browser import BrowserPage, TestBrowser
from tests.support.console_models import ECHO
from tests.support.console_world import INJECTION, LONG, POD, RUN, UNAUTHORIZED, ConsoleWorld
from tests.support.severable_proxy import SeverableProxy


class TestKeys:
    def test_a_key_is_asked_for_once_and_stays_in_the_tab(
        self, browser: TestBrowser, console_world: ConsoleWorld
    ) -> None:
        with browser.open_page(console_world.url, complaints=[UNAUTHORIZED]) as console:
            console.open()
            page = console.page
            assert page.locator("#key-dialog").is_visible()
            console.assert_accessible()
            browser.save_screenshot(console, "key-1280-light-en")
            page.fill("#key", "coe-wrong")
            page.keyboard.press("Enter")
            expect(page.locator("#key-wrong")).to_contain_text("This key is not known here.")
            assert page.locator("#key-dialog").is_visible()
            page.fill("#key", console_world.key)
            page.click("#key-form button.main")
            expect(page.locator("#key-dialog")).to_be_hidden()
            console.ask(POD)
            console.wait_for_answer()
            page.reload()
            page.wait_for_selector("body[data-ready]")
            assert not page.locator("#key-dialog").is_visible()
            kept: dict[str, Any] = page.evaluate("({ ...sessionStorage })")
            assert kept["coe-key"] == console_world.key
            assert console_world.key not in str(page.evaluate("({ ...localStorage })")) + page.content() + page.url
            assert page.context.cookies() == []

    def test_a_withdrawn_key_is_asked_for_again_and_the_question_goes_on(
        self, browser: TestBrowser, console_world: ConsoleWorld
    ) -> None:
        with browser.open_page(console_world.url, key="coe-removed", complaints=[UNAUTHORIZED]) as console:
            console.open()
            console.ask(POD)
            expect(console.page.locator("#key-wrong")).to_contain_text("not known here")
            console.page.fill("#key", console_world.key)
            console.page.keyboard.press("Enter")
            console.wait_for_answer()

    def test_without_a_key_the_reason_is_shown(self, browser: TestBrowser, console_world: ConsoleWorld) -> None:
        with browser.open_page(console_world.url, complaints=[UNAUTHORIZED]) as console:
            console.open("leaderboard")
            console.page.keyboard.press("Escape")
            expect(console.page.locator("#key-dialog")).to_be_visible()  # the view asks for it
            console.page.click("#key-later")
            expect(console.page.locator("#problem")).to_contain_text("401")
            console.page.click("#change-key")
            console.page.fill("#key", console_world.key)
            console.page.keyboard.press("Enter")
            expect(console.page.locator(".heat")).to_be_visible()


class TestOutage:
    def test_the_page_survives_an_outage(self, browser: TestBrowser, console_world: ConsoleWorld) -> None:
        with (
            SeverableProxy.started(urlsplit(console_world.url).port or 0) as proxy,
            browser.open_page(proxy.url, key=console_world.key, complaints=None) as console,
        ):
            console.open()
            page = console.page
            console.ask(LONG)
            expect(page.locator(".answer")).to_contain_text("word3")
            proxy.cut()
            expect(page.locator("#gone")).to_be_visible()
            assert "The endpoint does not answer." in console.text("#gone")
            assert console.text("#health") == "The endpoint does not answer."
            expect(page.locator(".ending")).to_contain_text("Your question is still here")
            assert console.text(".asked-for") == LONG
            page.fill("#question", POD)
            browser.save_screenshot(console, "gone-1280-light-en")
            console.assert_accessible()
            page.click("nav a >> nth=2")
            expect(page.locator("#runs")).to_be_visible()
            proxy.restore()
            page.click("#try-now")
            expect(page.locator("#gone")).to_be_hidden()
            expect(page.locator("#live")).to_have_text("The endpoint answers again.")
            expect(page.locator("#health")).to_contain_text("ready")
            expect(page.locator("#run-list")).to_contain_text("sample-test-1")
            page.click("nav a >> nth=0")
            assert page.input_value("#question") == POD
            assert console.text(".asked-for") == LONG
            page.click("text=Ask again")
            console.wait_for_answer()
            assert console.texts(".answer")[-1].endswith("word59")
            page.click("#send")
            expect(page.locator(".turn")).to_have_count(2)
            console.wait_for_answer()
            assert [each for each in console.complaints if not each.startswith("error: Failed to load resource")] == []

    def test_the_page_retries_until_the_endpoint_is_back(
        self, browser: TestBrowser, console_world: ConsoleWorld
    ) -> None:
        with (
            SeverableProxy.started(urlsplit(console_world.url).port or 0) as proxy,
            browser.open_page(proxy.url, key=console_world.key, complaints=None) as console,
        ):
            console.open("runs")
            expect(console.page.locator("#run-list")).to_contain_text("sample-test-1")
            proxy.cut()
            expect(console.page.locator("#gone-when")).to_contain_text("Trying again in 2 s")
            expect(console.page.locator("#gone-when")).to_contain_text("Trying again in 4 s")
            proxy.restore()
            expect(console.page.locator("#gone")).to_be_hidden()


class TestAttacks:
    def test_html_in_an_answer_is_shown_as_text(self, console: BrowserPage) -> None:
        console.open()
        console.ask(f"{ECHO} {INJECTION}")
        console.wait_for_answer()
        assert console.text(".answer") == INJECTION
        console.show_reasons()
        assert INJECTION in console.text(".asked-for")
        assert INJECTION in console.text('.conversation [data-step="question"]')
        assert "Repeat after us: <img" in console.text(".neighbours")
        self._assert_nothing_ran(console)

    def test_html_in_a_run_is_shown_as_text(self, console: BrowserPage) -> None:
        console.open(f"{RUN}?task=Test&system=basalt")
        console.page.locator(".rows a", has_text="<img").first.click()
        expect(console.page.locator(".asked")).to_contain_text(INJECTION)
        for summary in console.page.locator(".prompts summary").all():
            summary.click()
        assert console.text(".prompts").count(INJECTION) > 1
        self._assert_nothing_ran(console)

    @pytest.mark.parametrize("place", ["runs/<img src=x onerror=window.hacked=1>", "%", "runs/%E0%A4%A", "nowhere"])
    def test_html_in_an_address_does_nothing(
        self, browser: TestBrowser, console_world: ConsoleWorld, place: str
    ) -> None:
        with browser.open_page(console_world.url, key=console_world.key, complaints=None) as console:
            console.open(place)
            console.page.wait_for_load_state("networkidle")
            assert console.page.locator("main > section:visible").count() == 1
            self._assert_nothing_ran(console)
            assert [each for each in console.complaints if "404" not in each] == []

    def test_the_page_loads_from_its_own_origin_only(self, console: BrowserPage, console_world: ConsoleWorld) -> None:
        requests: list[str] = []
        console.page.on("request", lambda request: requests.append(request.url))
        for place in ("ask", "leaderboard", "runs", RUN):
            console.open(place)
            console.page.wait_for_load_state("networkidle")
        assert len(requests) > 15
        assert [url for url in requests if not url.startswith((f"{console_world.url}/", "data:image/svg"))] == []

    def _assert_nothing_ran(self, console: BrowserPage) -> None:
        assert console.page.evaluate("window.hacked") is None
        assert console.page.locator("main img, main script").count() == 0
