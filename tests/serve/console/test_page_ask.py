"""The Ask view in a real browser: questions, streams, stops; by keyboard and in two languages."""

import re

import pytest
from playwright.sync_api import expect

from tests.support.browser import BrowserPage, TestBrowser
from tests.support.console_models import ECHO
from tests.support.console_world import LONG, POD, RELEASE, RUN, TASKS, ConsoleWorld


class TestAsking:
    def test_an_example_is_answered_with_every_step_shown(self, console: BrowserPage) -> None:
        console.open()
        console.page.locator("#examples button").nth(1).click()
        assert "readiness probe" in console.page.input_value("#question")
        console.page.click("#send")
        console.wait_for_answer()
        assert not console.page.locator(".step").first.is_visible()
        console.show_reasons()
        steps = console.page.locator(".conversation .step")
        assert console.texts(".conversation .step h3") == [
            "Question",
            "Neighbours",
            "Label",
            "Leaderboard row",
            "Answer",
            "Time",
        ]
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
        assert console.text(".answer").endswith("So the answer is (A).")
        assert "by basalt" in steps.nth(4).inner_text()
        assert re.search(r"\d+ tokens · [\d.]+ tokens/s", steps.nth(4).inner_text())
        times = console.text(".legend")
        assert all(stage in times for stage in ("neighbours", "label", "row", "first words", "the rest of the answer"))
        assert re.fullmatch(r"[\d.]+ s", console.texts(".step .time")[-1])

    def test_the_answer_comes_word_by_word(self, console: BrowserPage) -> None:
        console.open()
        console.ask(LONG)
        expect(console.page.locator(".answer")).to_contain_text("word3")
        early = console.text(".answer")
        assert "word59" not in early
        assert console.text(".verdict").startswith("Test (")  # the decision is there before the answer
        expect(console.page.locator(".answer")).to_contain_text("word59")
        assert console.text(".answer").startswith(early)
        assert "Test" in console.text("#live") or "has answered" in console.text("#live")

    def test_failed_experts_are_named(self, console: BrowserPage) -> None:
        console.open()
        console.ask(RELEASE)
        console.wait_for_answer()
        assert console.text(".because") == "the next best, as cinder failed"
        console.show_reasons()
        first, second, *_ = console.texts(".standings .who")
        assert first.startswith("cinder")
        assert "ServerFault" in first
        assert second.startswith("aria")
        assert "answers" in second
        assert re.search(r"cinder: ServerFault after (< )?[\d.]+ m?s", console.text(".tried"))
        assert "out of memory" not in console.text("main")

    def test_a_question_of_no_task_goes_to_the_best_on_average(self, console: BrowserPage) -> None:
        console.open()
        console.ask("Which sign is Jupiter in?")
        console.wait_for_answer()
        assert re.fullmatch(r"No known task → \w+\s*best on average", console.text(".verdict"))
        console.show_reasons()
        assert console.text(".named") == "unknown"
        assert "best on average" in console.text('.conversation [data-step="label-step"]')
        assert "Mean over all tasks" in console.text('.conversation [data-step="row"]')

    def test_an_answer_is_stopped_and_asked_again(self, console: BrowserPage) -> None:
        console.open()
        console.ask(LONG)
        expect(console.page.locator(".answer")).to_contain_text("word3")
        console.page.click("#stop")
        expect(console.page.locator(".ending")).to_have_text("Stopped: this is a part of the answer.")
        assert "word3" in console.text(".answer")
        assert "word59" not in console.text(".answer")
        assert console.text(".asked-for") == LONG
        console.page.click("text=Ask again")
        expect(console.page.locator(".reply").nth(1).locator(".answer")).to_contain_text("word3")
        console.page.keyboard.press("Escape")
        expect(console.page.locator(".ending")).to_have_count(2)
        console.ask(POD)
        console.wait_for_answer()
        assert console.page.locator(".turn").count() == 2

    def test_an_answer_goes_on_behind_another_view(self, console: BrowserPage) -> None:
        console.open()
        console.ask(LONG)
        expect(console.page.locator(".answer")).to_contain_text("word3")
        console.page.click("nav a >> nth=1")
        expect(console.page.locator(".heat")).to_be_visible()
        console.page.click("nav a >> nth=0")
        console.wait_for_answer()
        assert console.text(".answer").endswith("word59")

    def test_an_empty_question_is_not_sent(self, console: BrowserPage) -> None:
        console.open()
        console.page.click("#send")
        expect(console.page.locator("#live")).to_have_text("Write a question first, or take an example.")
        assert console.page.evaluate("document.activeElement.id") == "question"

    def test_a_refusal_of_the_endpoint_is_shown(self, browser: TestBrowser, console_world: ConsoleWorld) -> None:
        complaint = "error: Failed to load resource: the server responded with a status of 413 (Content Too Large)"
        with browser.open_page(console_world.url, key=console_world.key, complaints=None) as console:
            console.open()
            console.page.evaluate("document.querySelector('#question').removeAttribute('maxlength')")
            console.page.evaluate("document.querySelector('#question').value = 'word '.repeat(300000)")
            console.page.click("#send")
            expect(console.page.locator(".ending")).to_contain_text("over 1048576 bytes")
            assert {each.partition(" (")[0] for each in console.complaints} <= {complaint.partition(" (")[0]}


class TestKeyboard:
    def test_a_question_without_a_mouse(self, console: BrowserPage) -> None:
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

    def test_focus_is_visible_and_follows_to_the_view(self, console: BrowserPage) -> None:
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

    def test_reduced_motion_is_respected(self, browser: TestBrowser, console_world: ConsoleWorld) -> None:
        with browser.open_page(console_world.url, key=console_world.key, reduced_motion="reduce") as console:
            console.open()
            console.ask(LONG)
            expect(console.page.locator(".answer")).to_contain_text("word3")
            still = "getComputedStyle(document.querySelector('.going .answer > :last-child'), '::after').animationName"
            assert console.page.evaluate(still) == "none"


class TestLanguage:
    def test_language_follows_the_browser_and_can_be_switched_during_an_answer(
        self, browser: TestBrowser, console_world: ConsoleWorld
    ) -> None:
        with browser.open_page(console_world.url, key=console_world.key, locale="zh-CN") as console:
            console.open()
            page = console.page
            assert page.get_attribute("html", "lang") == "zh"
            assert console.text("h1:visible") == "提问"
            console.ask(LONG)
            expect(page.locator(".answer")).to_contain_text("word3")
            console.show_reasons()
            page.click("#change-language")
            assert page.get_attribute("html", "lang") == "en"
            assert console.texts(".conversation .step h3")[:3] == ["Question", "Neighbours", "Label"]
            console.wait_for_answer()
            assert console.text(".answer") == LONG.removeprefix(ECHO).strip()
            page.fill("#question", POD)
            page.reload()
            assert page.get_attribute("html", "lang") == "en"
            assert console.text(".asked-for") == LONG
            assert console.text(".answer") == LONG.removeprefix(ECHO).strip()
            assert page.input_value("#question") == POD

    @pytest.mark.parametrize("place", ["ask", "answer", "leaderboard", "runs", RUN])
    def test_every_word_is_translated(self, console: BrowserPage, place: str) -> None:
        console.open(place)
        if place == "answer":
            console.ask(POD)
            console.wait_for_answer()
            console.show_reasons()
        console.page.wait_for_load_state("networkidle")
        console.page.click("#change-language")
        body = console.text("body")
        english: list[str] = console.page.evaluate(
            "async () => Object.values((await import('/console/words.js')).WORDS.en).filter((text) => / /.test(text))"
        )
        assert len(english) > 50
        assert [text for text in english if "{" not in text and text in body] == []
