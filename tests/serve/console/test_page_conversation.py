"""A conversation in a real browser: Markdown, follow-ups, other experts, links, ends of answers, doubts."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from playwright.sync_api import Request, expect

from tests.support.browser import BrowserPage, TestBrowser
from tests.support.console_models import ECHO
from tests.support.console_world import LONG, MARKDOWN, POD, ConsoleWorld


def piece(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """A chunk of a stream."""
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def sent(console: BrowserPage) -> list[Mapping[str, Any]]:
    """The bodies of the requests for answers, as they are made from now on."""
    bodies: list[Mapping[str, Any]] = []

    def record(request: Request) -> None:
        if request.url.endswith("/v1/chat/completions"):
            bodies.append(json.loads(request.post_data or ""))

    console.page.on("request", record)
    return bodies


class TestMarkdown:
    def test_an_answer_is_formatted_and_stays_harmless(self, console: BrowserPage) -> None:
        console.open()
        console.ask(f"{ECHO}\n{MARKDOWN}")
        console.wait_for_answer()
        answer = console.page.locator(".answer")
        assert answer.locator("h3.heading-1").inner_text() == "Roll back"
        assert answer.locator("strong").inner_text() == "in this order"
        assert answer.locator("p code").inner_text() == "README.md"
        assert answer.locator("ol > li").count() == 2
        assert answer.locator("pre").inner_text() == "kubectl rollout undo deploy/web\n\nkubectl get pods"
        assert console.text(".code-head span") == "bash"
        assert answer.locator("td.right").inner_text() == "7"
        links = [(each.inner_text(), each.get_attribute("href")) for each in answer.locator("a").all()]
        assert links == [("the runbook", "https://example.com/runbook"), ("chart", "https://example.com/c.png")]
        assert answer.locator("a[target=_blank][rel='noopener noreferrer']").count() == 2
        assert answer.locator("blockquote").inner_text().endswith("chart <b>")
        assert answer.locator("img").count() == 0
        console.assert_looks_right()
        console.assert_accessible()

    def test_code_and_answer_are_copied_as_they_were_written(
        self, browser: TestBrowser, console_world: ConsoleWorld
    ) -> None:
        allowed = ["clipboard-read", "clipboard-write"]
        with browser.open_page(console_world.url, key=console_world.key, permissions=allowed) as console:
            console.open()
            console.ask(f"{ECHO}\n{MARKDOWN}")
            console.wait_for_answer()
            console.page.get_by_role("button", name="Copy the code").click()
            expect(console.page.locator("#live")).to_have_text("Copied.")
            clipboard = "navigator.clipboard.readText()"
            assert console.page.evaluate(clipboard) == "kubectl rollout undo deploy/web\n\nkubectl get pods"
            console.page.get_by_role("button", name="Copy the answer").click()
            expect(console.page.locator("#live")).to_have_text("Copied.")
            assert console.page.evaluate(clipboard) == MARKDOWN.strip()

    def test_code_is_copied_over_plain_http_too(self, console: BrowserPage) -> None:
        console.page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
        console.open()
        console.ask(f"{ECHO}\n{MARKDOWN}")
        console.wait_for_answer()
        console.page.evaluate("addEventListener('copy', () => { window.took = document.activeElement.value })")
        console.page.get_by_role("button", name="Copy the code").click()
        expect(console.page.locator("#live")).to_have_text("Copied.")
        assert console.page.evaluate("window.took") == "kubectl rollout undo deploy/web\n\nkubectl get pods"

    def test_what_is_written_stays_while_more_comes(self, console: BrowserPage) -> None:
        console.open()
        console.ask(f"{ECHO} First paragraph.\n\n{LONG.removeprefix(ECHO)}")
        first = console.page.locator(".answer > p").first
        expect(console.page.locator(".answer")).to_contain_text("word3")
        first.evaluate("(each) => { each.dataset.seen = 'yes' }")
        expect(console.page.locator(".answer")).to_contain_text("word30")
        assert first.get_attribute("data-seen") == "yes"


class TestConversation:
    def test_a_follow_up_is_sent_with_its_history(self, console: BrowserPage) -> None:
        console.open()
        console.ask(f"{ECHO} Look at the events.")
        console.wait_for_answer()
        assert console.page.input_value("#question") == ""
        assert console.text("#question-label") == "Follow-up"
        bodies = sent(console)
        console.ask(f"{ECHO} Because they name the cause.")
        expect(console.page.locator(".turn")).to_have_count(2)
        console.wait_for_answer()
        (body,) = bodies
        assert body["model"] == "coe"
        assert body["messages"] == [
            {"role": "user", "content": f"{ECHO} Look at the events."},
            {"role": "assistant", "content": "Look at the events."},
            {"role": "user", "content": f"{ECHO} Because they name the cause."},
        ]

    def test_another_expert_answers_in_the_same_conversation(self, console: BrowserPage) -> None:
        console.open()
        console.ask(f"{ECHO} Look at the events.")
        console.wait_for_answer()
        console.ask(POD)
        expect(console.page.locator(".turn")).to_have_count(2)
        console.wait_for_answer()
        bodies = sent(console)
        console.page.click("text=Ask another expert")
        named = console.texts(".others button")
        assert "basalt" not in named
        console.page.get_by_role("button", name="aria").click()
        expect(console.page.locator(".turn:last-child .reply")).to_have_count(2)
        console.wait_for_answer()
        (body,) = bodies
        assert body["model"] == "aria"
        assert [each["role"] for each in body["messages"]] == ["user", "assistant", "user"]
        assert console.texts(".turn:last-child .verdict")[1].split() == ["aria", "asked", "by", "name"]
        assert console.page.locator(".turn:last-child .fold.why").count() == 1  # a named expert was not routed to

    def test_a_new_conversation_begins_with_nothing(self, console: BrowserPage) -> None:
        console.open()
        console.ask(POD)
        console.wait_for_answer()
        console.page.click("#new")
        assert console.page.locator(".turn").count() == 0
        assert console.page.locator("#examples").is_visible()
        assert console.page.evaluate("document.activeElement.id") == "question"
        bodies = sent(console)
        console.ask(POD)
        console.wait_for_answer()
        assert bodies[0]["messages"] == [{"role": "user", "content": POD}]

    def test_an_answer_under_way_is_a_part_after_a_reload(self, console: BrowserPage) -> None:
        console.open()
        console.ask(LONG)
        expect(console.page.locator(".answer")).to_contain_text("word3")
        console.page.reload()
        expect(console.page.locator(".ending")).to_have_text("Stopped: this is a part of the answer.")
        assert "word3" in console.text(".answer")


class TestLinks:
    def test_a_link_brings_the_conversation_and_asks_on_a_click(
        self, browser: TestBrowser, console_world: ConsoleWorld
    ) -> None:
        allowed = ["clipboard-read", "clipboard-write"]
        with browser.open_page(console_world.url, key=console_world.key, permissions=allowed) as console:
            console.open()
            console.ask(f"{ECHO} 看看**事件**")
            console.wait_for_answer()
            console.ask(POD)
            expect(console.page.locator(".turn")).to_have_count(2)
            console.wait_for_answer()
            console.page.locator("text=Copy link").last.click()
            expect(console.page.locator("#live")).to_contain_text("Link copied.")
            link = console.page.evaluate("navigator.clipboard.readText()")
        assert link.startswith(f"{console_world.url}/#/ask?c=")
        with browser.open_page(console_world.url, key=console_world.key) as console:
            bodies = sent(console)
            asked: list[str] = []
            console.page.on("request", lambda request: asked.append(request.method))
            console.page.goto(link)
            expect(console.page.locator("#question")).to_have_value(POD)
            assert console.text(".asked-for") == f"{ECHO} 看看**事件**"
            assert console.text(".answer") == "看看事件"
            assert "It was not asked here." in console.text(".reply")
            assert set(asked) == {"GET"}
            assert console.page.url == f"{console_world.url}/#/ask"
            console.assert_accessible()
            console.page.click("#send")
            console.wait_for_answer()
            assert [each["content"] for each in bodies[0]["messages"]] == [f"{ECHO} 看看**事件**", "看看**事件**", POD]

    @pytest.mark.parametrize("link", ["", "%", "W10", "eyJhIjoxfQ", "W3sicm9sZSI6InN5c3RlbSIsImNvbnRlbnQiOiJ4In1d"])
    def test_a_link_that_is_none_is_said_to_be_so(self, console: BrowserPage, link: str) -> None:
        console.open(f"ask?c={link}")
        expect(console.page.locator("#link-broken")).to_contain_text("This link is not whole")
        assert console.page.locator(".turn").count() == 0


class TestEndings:
    @pytest.mark.parametrize(
        ("finish", "said"),
        [
            ("length", "Cut off at max_tokens: the answer is not whole."),
            ("content_filter", "Cut off by the provider’s content filter."),
            ("insufficient_system_resource", "It did not end by itself: insufficient_system_resource."),
        ],
    )
    def test_a_cut_says_so(self, console: BrowserPage, finish: str, said: str) -> None:
        console.open()
        console.script_answer(piece(role="assistant", content="Half of a"), piece(finish))
        console.ask(POD)
        console.wait_for_answer()
        assert console.text(".answer") == "Half of a"
        assert console.text(".ending") == said
        console.assert_accessible()

    def test_a_whole_answer_says_nothing_of_its_end(self, console: BrowserPage) -> None:
        console.open()
        console.ask(POD)
        console.wait_for_answer()
        assert console.page.locator(".ending").count() == 0

    def test_an_error_in_a_stream_is_shown_below_what_came(self, console: BrowserPage) -> None:
        console.open()
        console.script_answer(
            piece(content="Half of a"), {"error": {"message": "the expert fell silent", "code": None}}
        )
        console.ask(POD)
        expect(console.page.locator(".ending")).to_have_text("The answer broke off: the expert fell silent")
        assert console.text(".answer") == "Half of a"
        assert console.page.locator("text=Ask again").is_visible()

    def test_a_stream_without_an_end_is_no_answer(self, console: BrowserPage) -> None:
        console.open()
        console.script_answer(piece(content="Half of a"), ends=False)
        console.ask(POD)
        expect(console.page.locator(".ending")).to_have_text("The answer broke off: the stream has no end")

    def test_reasoning_is_folded_and_tool_calls_are_shown(self, console: BrowserPage) -> None:
        console.open()
        console.script_answer(
            piece(reasoning_content="The pod is "),
            piece(reasoning_content="**Pending**."),
            piece(content="I look it up."),
            piece(tool_calls=[{"index": 0, "id": "1", "function": {"name": "get_pod", "arguments": '{"na'}}]),
            piece(tool_calls=[{"index": 0, "function": {"arguments": 'me": "web"}'}}]),
            piece("tool_calls"),
        )
        console.ask(POD)
        console.wait_for_answer()
        assert not console.page.locator(".reasoning .prose").is_visible()
        console.page.click("summary:text('Reasoning')")
        assert console.text(".reasoning .prose") == "The pod is Pending."
        assert console.text(".answer") == "I look it up."
        assert console.text(".tools-called code") == "get_pod"
        assert json.loads(console.text(".tools-called pre")) == {"name": "web"}
        assert "The console runs none." in console.text(".tools-called")
        assert console.page.locator(".ending").count() == 0
        console.page.click("#change-language")
        assert console.page.locator(".reasoning .prose").is_visible()  # what was opened stays open
        console.assert_accessible()


def expert(name: str, correct: int, total: int) -> dict[str, Any]:
    return {"expert": name, "accuracy": correct / total, "correct": correct, "total": total}


class TestDoubts:
    """What the page says of decisions that the endpoint may make."""

    def decide(self, console: BrowserPage, **changed: Any) -> None:
        """A question, whose decision is the endpoint's but for what is changed."""

        def change(route: Any) -> None:
            decision = route.fetch().json()
            by = changed.pop("by", {})
            route.fulfill(json={**decision, **changed, "classifier": {**decision["classifier"], **by}})

        console.open()
        console.page.route("**/v1/route", change)
        console.script_answer(piece("stop", content="A."))
        console.ask(POD)
        console.wait_for_answer()
        console.show_reasons()

    @pytest.mark.parametrize(
        ("row", "counted", "thin"),
        [
            ([("basalt", 1, 6), ("aria", 0, 6)], "1 of 6: chance", 2),
            ([("basalt", 40, 60), ("aria", 40, 60)], "40 of 60: chance", 0),
            ([("basalt", 39, 60), ("aria", 33, 60)], "39 of 60: may be chance", 0),
            ([("basalt", 18, 19), ("aria", 1, 60)], "18 of 19: few questions", 1),
            ([("basalt", 55, 60), ("aria", 11, 60)], "55 of 60", 0),
        ],
    )
    def test_ties_and_thin_rows_are_marked(
        self, console: BrowserPage, row: list[tuple[str, int, int]], counted: str, thin: int
    ) -> None:
        self.decide(console, expert="basalt", row=[expert(*each) for each in row])
        assert console.text(".because") == f"best on Operate: {counted}"
        assert console.page.locator(".because .mark.low").count() == (":" in counted)
        assert console.texts(".standings .mark.low") == thin * ["few questions"]
        assert ("intervals of the first two overlap" in console.text(".fold.why")) == ("chance" in counted)

    @pytest.mark.parametrize(("confidence", "is_low"), [(0.31, True), (0.5, False), (0.77, False)])
    def test_low_confidence_looks_low(self, console: BrowserPage, confidence: float, is_low: bool) -> None:
        self.decide(console, confidence=confidence)
        assert console.page.locator(".sure.low").count() == is_low
        shown = f"({confidence:.2f}, unsure)" if is_low else f"({confidence:.2f})"
        assert f"Operate {shown} → basalt" in console.text(".verdict")
        assert ("Unsure:" in console.text('.conversation [data-step="label-step"]')) == is_low

    @pytest.mark.parametrize(
        ("by", "said"),
        [
            ({"by": "neighbours", "tried": [{"error": "Unreachable"}]}, "Asked in vain: Unreachable."),
            ({"by": "client"}, "Named by the client."),
            ({"by": "conversation"}, "The conversation goes on: its task stays."),
            ({"by": "toString"}, "Found by: toString."),
        ],
    )
    def test_every_way_to_a_task_has_words(self, console: BrowserPage, by: dict[str, Any], said: str) -> None:
        self.decide(console, by=by, neighbours=[])
        assert said in console.text('.conversation [data-step="label-step"]')
        kept = console.text(".because") == "the conversation stays with it"
        assert kept == (by["by"] == "conversation")

    def test_who_cannot_read_a_question_is_named_in_the_reason(self, console: BrowserPage) -> None:
        reason = "best on Operate; timeseries cannot read this request"
        self.decide(console, expert="basalt", row=[expert("basalt", 39, 60)], reason=reason)
        assert f"The endpoint says: {reason}." in console.text('.conversation [data-step="row"]')

    def test_the_line_above_the_answer_says_who_and_why(self, console: BrowserPage) -> None:
        console.open()
        console.ask(POD)
        console.wait_for_answer()
        assert re.fullmatch(
            r"Operate \(\d\.\d\d(, unsure)?\) → basalt\s*best on Operate: 39 of 60: may be chance",
            console.text(".verdict"),
        )
