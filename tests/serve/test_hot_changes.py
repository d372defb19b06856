"""Another profile while requests come in: no restart, no failed request; a bad change leaves everything as it was."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from coe_ray.routing.leaderboard import Leaderboard
from tests.serve.upstream import Upstream
from tests.serve.world import CONTAINERS, LEADERBOARD, build_world
from tests.support.cluster import ROOT, Cluster, kill

CHAT = "/v1/chat/completions"
ASKED = {"model": "coe", "messages": [{"role": "user", "content": "What is a statefulset for?"}]}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream().started() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Path:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_HUB_OFFLINE", "1")
        world = build_world(tmp_path_factory.mktemp("world"), upstream.base_url)
    rows = [(score.expert, score.task, score.correct, score.total) for score in LEADERBOARD.scores]
    newcomer = [("newcomer", task, 10 if task == CONTAINERS else 0, 10) for task in LEADERBOARD.tasks]
    Leaderboard.from_scores([*rows, *newcomer]).save(world.with_name("next.json"))
    return world


@pytest.fixture
def cluster(world: Path, request: pytest.FixtureRequest, serve_cluster: Cluster) -> Iterator[Cluster]:
    """Deployed as `serve run` does, or with a file as `serve deploy` does."""
    if request.param == "serve run":
        assert serve_cluster.deploy(world) is None
    else:
        application = {"import_path": "coe_ray.serve.app:build", "args": {"profile": str(world)}}
        ingress = {"name": "ingress", "num_replicas": 2}
        serve_cluster.declare({"applications": [{"name": "default", **application, "deployments": [ingress]}]})
        _eventually(lambda: httpx.get(f"{serve_cluster.url}/healthz").status_code == 200, 120)
    yield serve_cluster
    serve_cluster.delete()


def newcomer(upstream: Upstream) -> dict[str, Any]:
    """A patch that adds an API expert, which the next leaderboard has as the best at one task."""
    return {
        "models": {"new-cloud": {"kind": "api", "base_url": upstream.base_url, "model": "cloud-10"}},
        "experts": {"newcomer": {"model": "new-cloud"}},
        "leaderboard": {"path": "next.json"},
    }


@dataclass
class Asking:
    """What came of requests that were made all the while: (status, version, expert)."""

    answers: list[tuple[int, str | None, str | None]] = field(default_factory=list)

    def seen(self) -> set[tuple[int, str | None, str | None]]:
        return set(self.answers)


@contextmanager
def asking(cluster: Cluster) -> Iterator[Asking]:
    seen, stop = Asking(), threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=cluster.url, timeout=30) as client:
            while not stop.is_set():
                reply = client.post(CHAT, json=ASKED)
                coe = reply.json()["coe"] if reply.status_code == 200 else {}
                assert coe.get("version") == reply.headers.get("x-coe-version")
                seen.answers.append((reply.status_code, coe.get("version"), coe.get("expert")))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def change(cluster: Cluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobs.change", "--address", cluster.address, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=cluster.environment, check=False, timeout=120
    )


@pytest.mark.parametrize("cluster", ["serve run", "serve deploy"], indirect=True)
def test_changes_under_load(
    cluster: Cluster, upstream: Upstream, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    sent = "serve deploy" in request.node.callspec.id

    def patch(content: object) -> str:
        path = tmp_path / "change.yaml"
        path.write_text(yaml.safe_dump(content), "utf-8")
        return str(path)

    def health() -> dict[str, Any]:
        health: dict[str, Any] = httpx.get(f"{cluster.url}/healthz").json()
        return health

    first = health()["version"]
    with asking(cluster) as seen:
        done = change(cluster, "--patch", patch(newcomer(upstream)))
        assert done.returncode == 0, done.stderr
        second = health()["version"]
        assert done.stdout == f"version {second} is served, before it {first}\n"
        assert second != first
        time.sleep(1)

        done = change(cluster, "--patch", patch({"experts": {"newcomer": {"model": "nobody"}}}))
        assert "experts.newcomer.model: no model 'nobody'" in done.stderr
        assert (health()["version"], health()["status"]) == (second, "ok")
        # `serve run` builds the application where the command runs, and so finds it out before anything is sent.
        assert done.returncode == (1 if sent else 2)
        if sent:
            assert health()["change_refused"] is True

        kill(next(iter(cluster.replicas()["ingress"])).pid)  # who starts now knows the change before the bad one
        _eventually(lambda: _version_of(cluster) == second, 60)

        if sent:
            done = change(cluster, "--back")
            assert done.returncode == 0, done.stderr
            assert (health()["version"], health()["change_refused"]) == (second, False)
        done = change(cluster, "--back")
        assert done.returncode == 0, done.stderr
        assert health()["version"] == first
        time.sleep(1)
        done = change(cluster, "--back")
        assert done.returncode == 2
        assert "nothing to go back to" in done.stderr
    answered = {each for each in seen.seen() if each[0] == 200}
    assert answered >= {(200, first, "captain"), (200, second, "newcomer")}
    # A replica that has just started may find the newcomer's provider full for a moment: then the next best answers.
    assert answered <= {(200, first, "captain"), (200, second, "newcomer"), (200, second, "captain")}
    failed = [each for each in seen.answers if each[0] != 200]
    assert len(failed) <= 8, failed  # only what the killed replica had in hand
    log = cluster.log_of("ingress")
    assert f"version {second} is served from now on" in log
    assert ("change refused" in log) == sent


def _version_of(cluster: Cluster) -> str | None:
    try:
        reply = httpx.get(f"{cluster.url}/healthz", timeout=5)
    except httpx.HTTPError:
        return None
    return str(reply.json()["version"]) if reply.status_code == 200 else None


def _eventually(holds: Any, within_s: float) -> None:
    until = time.monotonic() + within_s
    while True:
        try:
            if holds():
                return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < until, f"not within {within_s:g} s"
        time.sleep(0.2)
