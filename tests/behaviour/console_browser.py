"""A real browser, what it complains of, and what a person would see on its pages: overlaps, cut text, missing names."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
WIDTHS = (1280, 390)
HEIGHT = 900
PATIENCE_MS = 30_000

_LOOKS = Path(__file__).with_name("console_looks.js")


@dataclass
class Console:
    """One page of the console. `complaints` are what the browser wrote on its own console, and uncaught errors."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def open(self, place: str = "ask") -> None:
        self.page.goto(f"{self.url}/#/{place}")
        self.page.wait_for_selector("body[data-ready], dialog[open]")

    def ask(self, question: str) -> None:
        self.page.fill("#question", question)
        self.page.click("#send")

    def wait_for_answer(self) -> None:
        self.page.wait_for_selector('[data-step="times"]')

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector)

    def texts(self, selector: str) -> list[str]:
        return self.page.locator(selector).all_inner_texts()

    def assert_looks_right(self) -> None:
        """Nothing overlaps, is cut off or reaches beyond the page."""
        looks = _LOOKS.read_text(encoding="utf-8")
        for look in ("overlaps", "cut"):
            found = self.page.evaluate(f"{looks}.{look}()")
            assert not found, f"{look}: {found}"

    def assert_accessible(self) -> None:
        """No finding of axe, serious or not."""
        self.page.evaluate(_axe())
        # A colour in transition is none yet.
        self.page.wait_for_timeout(50)
        found = self.page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
        told = [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found["violations"]]
        assert not told, told


@dataclass(frozen=True)
class Machine:
    """The browser, and where screenshots go."""

    browser: Browser
    artefacts: Path

    @contextmanager
    def console(
        self,
        url: str,
        *,
        key: str | None = None,
        width: int = WIDTHS[0],
        scheme: Literal["light", "dark"] = "light",
        locale: str = "en-US",
        complaints: Sequence[str] | None = (),
        **more: Any,
    ) -> Iterator[Console]:
        """A page in a browser of its own. At its end there must be no other `complaints`; `None` allows all."""
        size: Any = {"width": width, "height": HEIGHT}
        context = self.browser.new_context(viewport=size, color_scheme=scheme, locale=locale, **more)
        if key:
            context.add_init_script(f"sessionStorage.setItem('coe-key', {key!r})")
        console = Console(context.new_page(), url)
        try:
            yield console
            assert complaints is None or console.complaints == list(complaints), console.complaints
        except BaseException:
            console.page.screenshot(path=self.artefacts / "failed.png", full_page=True)
            raise
        finally:
            context.close()

    def keep(self, console: Console, name: str) -> None:
        console.page.screenshot(path=self.artefacts / f"{name}.png", full_page=True, animations="disabled")

    @classmethod
    @contextmanager
    def started(cls, artefacts: Path) -> Iterator["Machine"]:
        artefacts.mkdir(parents=True, exist_ok=True)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=_chromium(playwright), args=list(FLAGS))
            try:
                yield cls(browser, artefacts)
            finally:
                browser.close()


def _chromium(playwright: Any) -> str:
    own = str(playwright.chromium.executable_path)
    found = shutil.which("chromium") or (own if Path(own).is_file() else None)
    if found is None:
        pytest.fail(
            "no Chromium: install Debian's (apt-get install chromium) or Playwright's (playwright install chromium)"
        )
    return found


def _axe() -> str:
    return resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
