"""Bench runs for the console's routes, and the whole console for a browser."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware

from coe_ray.serve.api.http import ERROR_HANDLERS
from coe_ray.serve.console.run_routes import run_routes
from tests.serve.auth.test_middleware import Recorded
from tests.support.browser import BrowserPage, TestBrowser
from tests.support.console_world import ConsoleWorld, build_console_world, build_runs, write_profile
from tests.support.endpoint import make_endpoint, serve_app


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds a finished run, `sample-test-1`, and a stopped one, `night-shift`."""
    root = tmp_path_factory.mktemp("console")
    build_runs(root / "runs", write_profile(root))
    return root / "runs"


@pytest.fixture
def client(runs: Path, monkeypatch: pytest.MonkeyPatch) -> httpx.AsyncClient:
    monkeypatch.setenv("COE_RAY_RUNS", str(runs))
    app = Starlette(routes=run_routes(), middleware=[Middleware(Recorded)], exception_handlers=ERROR_HANDLERS)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://endpoint")


@pytest.fixture(scope="session")
def console_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleWorld]:
    """The endpoint served by this process, over real HTTP."""
    folder = tmp_path_factory.mktemp("console-page")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_HUB_OFFLINE", "1")
        profile, key = build_console_world(folder)
        build_runs(folder / "runs", profile)
        environment.setenv("COE_RAY_RUNS", str(folder / "runs"))
        with serve_app(make_endpoint(profile).app) as url:
            yield ConsoleWorld(url, key, profile, folder / "runs")


@pytest.fixture
def console(browser: TestBrowser, console_world: ConsoleWorld) -> Iterator[BrowserPage]:
    """A page with the key, in English."""
    with browser.open_page(console_world.url, key=console_world.key) as console:
        yield console
