"""Pytest plugin: the clusters that all tests share, the order and marks that follow from them, and a guard.

A test asks for a cluster by its fixture. Tests of one cluster run in a row, so that each is started once and ended
before the next one starts: the machine has room for one. Tests without a cluster run first.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from tests.support.cluster import SERVE_ENVIRONMENT, Cluster, haproxy_environment
from tests.support.collector import Collector, collecting

if TYPE_CHECKING:
    from tests.support.browser import TestBrowser

MARKS = {
    "bench_cluster": "cluster",
    "serve_cluster": "cluster",
    "haproxy_cluster": "cluster",
    "gpu_cluster": "cluster",
    "kill_cluster": "cluster",
    "own_machine": "cluster",
    "vllm_cluster": "engine",
    "engine_machine": "engine",
    "browser": "browser",
}
"""The mark of a test that uses a fixture, in the order in which tests run."""

API_KEY = {"COE_TEST_FAULTS_KEY": "sk-faults-3f9a71c2e5"}
"""A variable and the key in it."""

RAY_PROGRAMS = ("ray", "raylet", "gcs_server")
BROWSER_PROGRAMS = ("chromium", "chrome", "playwright")

Start = Callable[[AbstractContextManager[Any]], Any]


@pytest.fixture(scope="session")
def one_cluster() -> Iterator[Start]:
    """Enters a context after it has left the one before."""
    with ExitStack() as stack:

        def start(context: AbstractContextManager[Any]) -> Any:
            _disconnect()
            stack.close()
            return stack.enter_context(context)

        yield start
        _disconnect()


def _disconnect() -> None:
    """This process from its cluster, if it is connected to one."""
    if ray := sys.modules.get("ray"):
        ray.shutdown()


@pytest.fixture(scope="session")
def bench_cluster(one_cluster: Start) -> Cluster:
    """Ray with the job server, for benches, whose workers know a key; without Serve until something is deployed."""
    return one_cluster(Cluster.started(API_KEY, dashboard=True))  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="session")
def serve_cluster(one_cluster: Start, collector: Collector) -> Cluster:
    """Serve as in production, but for HAProxy; its traces go to `collector`."""
    traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    return one_cluster(Cluster.started(SERVE_ENVIRONMENT | traced))  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def haproxy_cluster(one_cluster: Start) -> Cluster:
    """Serve behind HAProxy, which gives up silent clients and replicas soon."""
    limits = {
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "3",
        # Without it HAProxy now and then keeps a connection for ever whose body was refused half way.
        "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": "25",
    }
    return one_cluster(Cluster.started(haproxy_environment() | limits))  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def gpu_cluster(one_cluster: Start) -> Cluster:
    """A head without GPUs, to which tests add nodes with logical ones; the autoscaler hears of load every second."""
    often = {
        f"RAY_SERVE_{caller}_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1" for caller in ("HANDLE", "REPLICA")
    }  # every 10 s by default, which is longer than these tests want to last
    return one_cluster(Cluster.started(SERVE_ENVIRONMENT | often))  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def kill_cluster(one_cluster: Start) -> Cluster:
    """Serve behind HAProxy on nodes that tests add and lose; a lost node is one after 5 checks, as in deploy/."""
    checks = {
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_timeout_ms": "2000",
        "RAY_health_check_failure_threshold": "5",
    }
    return one_cluster(Cluster.started(haproxy_environment() | checks))  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def vllm_cluster(one_cluster: Start) -> Cluster:
    """Serve for models on vLLM, which take 4 GiB."""
    return one_cluster(Cluster.started(SERVE_ENVIRONMENT))  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def own_machine(one_cluster: Start) -> None:
    """No cluster: the test's own commands start and end a Ray, as a user's do."""
    one_cluster(ExitStack())


@pytest.fixture(scope="session")
def engine_machine(own_machine: None) -> None:
    """As `own_machine`, and the commands start vLLM."""


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator["TestBrowser"]:
    """Chromium, for pages of any test."""
    from tests.support.browser import TestBrowser

    with TestBrowser.started(tmp_path_factory.mktemp("screenshots")) as browser:
        yield browser


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Marks, before others choose by them; the order, after others set theirs."""
    place = {name: number for number, name in enumerate(MARKS, 1)}
    for item in items:
        for name in MARKS.keys() & set(_fixtures(item)):
            item.add_marker(MARKS[name])
    yield
    items.sort(key=lambda item: max((place.get(name, 0) for name in _fixtures(item)), default=0))


def _fixtures(item: pytest.Item) -> list[str]:
    """Those that the item asks for, and those that its parameters name."""
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return [*getattr(item, "fixturenames", ()), *[value for value in parameters if isinstance(value, str)]]


class _Guard:
    """Refuses a Ray or a browser to a test whose fixtures do not say that it starts one."""

    def __init__(self) -> None:
        self.refused: tuple[str, ...] = ()

    def set_up(self, fixtures: list[str]) -> None:
        marks = {MARKS[name] for name in MARKS.keys() & set(fixtures)}
        self.refused = () if marks & {"cluster", "engine"} else RAY_PROGRAMS
        if "browser" not in marks:
            self.refused += BROWSER_PROGRAMS

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen" and self.refused:
            command = arguments[1] if isinstance(arguments[1], (list, tuple)) else [arguments[1]]
            program = PurePath(str(command[0]))
            if program.name in self.refused or ("playwright" in self.refused and "playwright" in program.parts):
                raise AssertionError(f"a test without the fixture for it started {program.name}")


_guard = _Guard()
sys.addaudithook(_guard.audit)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    _guard.set_up(_fixtures(item))


@pytest.fixture(autouse=True)
def no_other_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is used before `ray.init`, Ray connects to whatever cluster this machine has: not in these tests."""
    if _guard.refused[:1] == RAY_PROGRAMS[:1] and (ray := sys.modules.get("ray")):
        monkeypatch.setattr(ray, "init", _refuse)


def _refuse(*_: object, **__: object) -> NoReturn:
    raise AssertionError("a test without a cluster's fixture connected to one")
