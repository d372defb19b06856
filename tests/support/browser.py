"""A real browser for tests, and what a person would notice on its pages: overlaps, cut text, missing names, errors."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
WIDTHS = (1280, 390)
HEIGHT = 900
TIMEOUT_MS = 30_000
expect.set_options(timeout=TIMEOUT_MS)

_LAYOUT = Path(__file__).with_name("page_layout.js")


@dataclass
class BrowserPage:
    """One page. `complaints` are what the browser wrote on its own console, and uncaught errors."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(TIMEOUT_MS)
        self.page.on("console", self._record)
        self.page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))

    def _record(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def open(self, place: str = "ask") -> None:
        self.page.goto(f"{self.url}/#/{place}")
        self.page.wait_for_selector("body[data-ready], dialog[open]")

    def ask(self, question: str) -> None:
        self.page.fill("#question", question)
        self.page.click("#send")

    def wait_for_answer(self) -> None:
        """The last reply of the conversation is whole, or its stream has ended."""
        self.page.wait_for_selector('.turn:last-child > .reply:last-child[data-phase="done"]')

    def show_reasons(self) -> None:
        """Opens "Why this expert?" of the last reply that has it."""
        self.page.locator(".fold.why > summary").last.click()

    def script_answer(self, *events: Mapping[str, Any], ends: bool = True) -> None:
        """The next answers are a stream of these events in place of the endpoint's; the decision stays its own."""
        body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + ("data: [DONE]\n\n" if ends else "")
        self.page.route(
            "**/v1/chat/completions", lambda route: route.fulfill(content_type="text/event-stream", body=body)
        )

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector)

    def texts(self, selector: str) -> list[str]:
        return self.page.locator(selector).all_inner_texts()

    def assert_looks_right(self) -> None:
        """Nothing overlaps, is cut off or reaches beyond the page."""
        layout = _LAYOUT.read_text(encoding="utf-8")
        for check in ("overlaps", "cut"):
            findings = self.page.evaluate(f"{layout}.{check}()")
            assert not findings, f"{check}: {findings}"

    def assert_accessible(self) -> None:
        """No finding of axe, serious or not."""
        self.page.evaluate(_axe())
        # A colour in transition is none yet.
        self.page.wait_for_timeout(50)
        results = self.page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
        violations = [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in results["violations"]]
        assert not violations, violations


@dataclass(frozen=True)
class TestBrowser:
    """Chromium, and the folder of its screenshots: `COE_RAY_ARTEFACTS` keeps them."""

    __test__ = False

    browser: Browser
    artefacts: Path

    @contextmanager
    def open_page(
        self,
        url: str,
        *,
        key: str | None = None,
        width: int = WIDTHS[0],
        scheme: Literal["light", "dark"] = "light",
        locale: str = "en-US",
        complaints: Sequence[str] | None = (),
        **more: Any,
    ) -> Iterator[BrowserPage]:
        """A page in a session of its own. At its end there must be no other `complaints`; `None` allows all."""
        size: Any = {"width": width, "height": HEIGHT}
        context = self.browser.new_context(viewport=size, color_scheme=scheme, locale=locale, **more)
        if key:
            context.add_init_script(f"sessionStorage.setItem('coe-key', {key!r})")
        page = BrowserPage(context.new_page(), url)
        try:
            yield page
            assert complaints is None or page.complaints == list(complaints), page.complaints
        except BaseException:
            page.page.screenshot(path=self.artefacts / "failed.png", full_page=True)
            raise
        finally:
            context.close()

    def save_screenshot(self, page: BrowserPage, name: str) -> None:
        page.page.screenshot(path=self.artefacts / f"{name}.png", full_page=True, animations="disabled")

    @classmethod
    @contextmanager
    def started(cls, artefacts: Path) -> Iterator["TestBrowser"]:
        artefacts = Path(os.environ.get("COE_RAY_ARTEFACTS", artefacts))
        artefacts.mkdir(parents=True, exist_ok=True)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=_chromium(playwright), args=list(FLAGS))
            try:
                yield cls(browser, artefacts)
            finally:
                browser.close()


def _chromium(playwright: Any) -> str:
    own = str(playwright.chromium.executable_path)
    path = shutil.which("chromium") or (own if Path(own).is_file() else None)
    if path is None:
        pytest.fail(
            "no Chromium: install Debian's (apt-get install chromium) or Playwright's (playwright install chromium)"
        )
    return path


def _axe() -> str:
    return resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
