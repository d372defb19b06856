"""The report in a real browser, opened as a file: it asks for nothing, runs nothing, fits everywhere, and prints.

COE_RAY_ARTEFACTS=shots python -m pytest tests/bench/report/test_page_in_browser.py
"""

import re
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page

from tests.bench.report.planted_run import HOSTILE, SKILLS, TASKS, Plan, planted_run
from tests.support.browser import WIDTHS, BrowserPage, TestBrowser

PLANS = {
    "usual": Plan(per_task=20, outages=0.01),
    "many tasks": Plan(tasks=TASKS, per_task=12, priced=False, labelled=0.6),
    "hostile": Plan(per_task=15, hostile=True, outages=0.02, experts=(*list(SKILLS)[:3], HOSTILE)),
}
LOOKS: list[tuple[str, int, Literal["light", "dark"]]] = [
    ("usual", WIDTHS[0], "light"),
    ("usual", WIDTHS[0], "dark"),
    ("usual", WIDTHS[1], "light"),
    ("usual", WIDTHS[1], "dark"),
    ("many tasks", WIDTHS[0], "light"),
    ("many tasks", WIDTHS[1], "dark"),
    ("hostile", WIDTHS[0], "light"),
    ("hostile", WIDTHS[1], "dark"),
]

HIDDEN = """() => [...document.querySelectorAll("svg.chart text")].flatMap((one, place, all) => {
  const box = one.getBoundingClientRect();
  const edge = one.ownerSVGElement.getBoundingClientRect();
  const aside = box.left < edge.left - 2 || box.right > edge.right + 2;
  const outside = aside || box.top < edge.top - 2 || box.bottom > edge.bottom + 2;
  const over = all.slice(place + 1).filter((other) => {
    const b = other.getBoundingClientRect();
    const wide = Math.min(box.right, b.right) - Math.max(box.left, b.left);
    return wide > 2 && Math.min(box.bottom, b.bottom) - Math.max(box.top, b.top) > 5;
  });
  return [...over.map((other) => other.textContent), ...(outside ? ["the edge"] : [])].map(
    (other) => `${one.textContent} | ${other}`,
  );
})"""
"""Names in a chart that lie outside of it, or over each other."""


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("reports")
    for name, plan in PLANS.items():
        planted_run(root / name, plan)
    return {name: root / name / "run" / "report.html" for name in PLANS}


def opened(console: BrowserPage) -> list[str]:
    """Open it; what was asked for on the way."""
    asked: list[str] = []
    console.page.on("request", lambda request: asked.append(request.url))
    console.page.goto(console.url)
    console.page.wait_for_load_state("networkidle")
    return asked


def beyond(page: Page) -> int:
    """Pixels by which the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.parametrize(("which", "width", "scheme"), LOOKS)
def test_it_asks_for_nothing_and_fits(
    browser: TestBrowser, reports: dict[str, Path], which: str, width: int, scheme: Literal["light", "dark"]
) -> None:
    url = reports[which].as_uri()
    with browser.open_page(url, width=width, scheme=scheme) as console:
        assert opened(console) == [url]
        assert beyond(console.page) <= 0
        assert not console.page.evaluate(HIDDEN)
        console.assert_looks_right()
        browser.save_screenshot(console, f"report-{which.replace(' ', '-')}-{width}-{scheme}")
        assert console.page.evaluate("window.hacked") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_kept_out(browser: TestBrowser, reports: dict[str, Path], scheme: Literal["light", "dark"]) -> None:
    # Past its policy, for axe is a script.
    with browser.open_page(reports["usual"].as_uri(), scheme=scheme, bypass_csp=True) as console:
        opened(console)
        console.assert_accessible()


def test_what_others_wrote_is_shown_and_does_nothing(browser: TestBrowser, reports: dict[str, Path]) -> None:
    with browser.open_page(reports["hostile"].as_uri(), bypass_csp=True) as console:  # escaping alone must do
        opened(console)
        for folded in console.page.locator("summary").all():
            folded.click()
        assert "<script>window.hacked=2</script>{{ 7 * 7 }}" in console.text("#misroutes ~ .misroutes")
        assert console.page.evaluate("window.hacked") is None
        assert console.page.locator("script, img, iframe, a, form, link").count() == 0


def test_wide_tables_are_reached_and_scrolled_by_keyboard(browser: TestBrowser, reports: dict[str, Path]) -> None:
    # Past its policy, for waiting evaluates text.
    with browser.open_page(reports["usual"].as_uri(), width=390, bypass_csp=True) as console:
        opened(console)
        region = console.page.get_by_role("region", name="Systems, table")
        region.focus()
        console.page.keyboard.press("End")
        console.page.keyboard.press("ArrowRight")
        console.page.wait_for_function("document.activeElement.scrollLeft > 0")


def test_it_prints_with_folded_texts_unfolded(browser: TestBrowser, reports: dict[str, Path]) -> None:
    with browser.open_page(reports["usual"].as_uri(), width=794) as console:
        opened(console)
        document = console.page.pdf(format="A4", print_background=True)
        assert document.startswith(b"%PDF")
        assert 5 <= len(re.findall(rb"/Type\s*/Page\b", document)) <= 25
        console.page.emulate_media(media="print")
        assert beyond(console.page) <= 0
        folded = console.page.locator("details").first
        assert folded.locator("> .text").bounding_box()
        assert not folded.locator("summary").is_visible()
