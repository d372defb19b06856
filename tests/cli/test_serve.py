"""`coe-ray serve`: an endpoint with its Ray, up and down again; what cannot be served is said before."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from coe_ray.cli import local_ray
from coe_ray.cli.main import main
from coe_ray.cli.ray_driver import NO_RAY, address_file
from coe_ray.serve.api.handlers import NO_LEADERBOARD
from tests.support.profiles import ENCODER, rule, scripted, write_profile

COMMAND = (sys.executable, "-m", "coe_ray.cli.main")


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def start() -> None:
        raise AssertionError("a Ray would be started")

    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(local_ray, "PORTS", {})
    monkeypatch.setattr(local_ray, "local_ray", start)


@pytest.fixture
def port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.mark.usefixtures("no_ray")
def test_another_host_wants_keys(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--host", "0.0.0.0", "--port", port]) == 2
    assert "access.keys is off, but Serve listens on 0.0.0.0" in capsys.readouterr().err


@pytest.mark.usefixtures("no_ray")
def test_keys_must_be_there(tmp_path: Path, port: str, capsys: pytest.CaptureFixture[str]) -> None:
    profile = tmp_path / "mine.yaml"
    profile.write_text("extends: local-cpu\naccess: {keys: keys.json}\n")
    assert main(["serve", "--profile", str(profile), "--port", port]) == 2
    assert f"make one: coe-ray keys --file {tmp_path}/keys.json add NAME" in capsys.readouterr().err


@pytest.mark.usefixtures("no_ray")
def test_a_taken_port_comes_before_anything_else(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        taken = server.getsockname()[1]
        assert main(["serve", "--profile", "no such profile", "--port", str(taken)]) == 2
    assert capsys.readouterr().err.startswith(f"serve: port {taken} of 127.0.0.1 is taken")


class Served:
    """`coe-ray serve` in a process of its own, for a user who has never started Ray."""

    def __init__(self, folder: Path, port: str, profile: Path) -> None:
        self.log, self.profile = folder / "serve.log", str(profile)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        self._environment = {**inherited, "HOME": str(folder), "COE_RAY_HOME": str(folder)}
        command = [*COMMAND, "serve", "--profile", self.profile, "--port", port]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=self._environment)

    def run(self, *arguments: str) -> tuple[int, list[str]]:
        """Exit code and lines of another command meanwhile."""
        command = [*COMMAND, *arguments, "--profile", self.profile]
        process = subprocess.run(command, capture_output=True, text=True, env=self._environment, check=False)
        return process.returncode, (process.stdout + process.stderr).splitlines()

    @property
    def lines(self) -> list[str]:
        return self.log.read_text("utf-8").splitlines()

    def wait_until_up(self) -> None:
        while not any(line.startswith("serving profile") for line in self.lines):
            assert self.process.poll() is None, self.lines
            time.sleep(0.2)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)  # SIGINT is ignored by what a shell starts in the background
        return self.process.wait(90)


@pytest.fixture
def served(own_machine: None, tmp_path: Path, port: str) -> Iterator[Served]:
    profile = {
        "models": {"one": scripted(rule(".", "the answer is (A)")), "sorter": scripted(rule(".", "**Task: [Build]**"))},
        "tasks": ["devops-eval-a", "devops-eval-b"],
        "experts": {"one": {"model": "one"}},
        "classifier": {"model": "sorter", "k": 0},
        "retrieval": {"encoder": ENCODER},
        "access": {"keys": False},
    }
    served = Served(tmp_path, port, write_profile(tmp_path / "mine.yaml", profile))
    try:
        yield served
    finally:
        served.process.terminate()  # it stops its Ray
        served.process.wait(90)


@pytest.mark.timeout(900)
def test_a_served_profile_answers_and_no_line_is_rays(served: Served, tmp_path: Path, port: str) -> None:
    served.wait_until_up()
    health = httpx.get(f"http://127.0.0.1:{port}/healthz").json()
    assert (health["status"], health["warnings"]) == ("ok", [NO_LEADERBOARD])
    assert (tmp_path / ".ray" / "auth_token").exists()

    code, lines = served.run("serve")
    assert (code, len(lines)) == (2, 1)
    assert lines[0].startswith("serve: port 6379 is taken, and Ray needs it for its control service")

    code, lines = served.run("bench", "--per-task", "1", "--out", str(tmp_path / "run"))
    assert code == 0
    own = r"bench: .*|system .*|(coe|one) .*|report: .*|"
    assert [line for line in lines if not re.fullmatch(own, line)] == []

    assert served.stop() == 0
    index, address, *end = served.lines
    assert index.startswith("retrieval index in ")
    assert address == f"serving profile {served.profile} at http://127.0.0.1:{port}/v1 (Ctrl-C ends it)"
    assert end == ["", "stopping", "stopped"]
    assert not address_file().exists()
    assert served.run("bench", "--out", str(tmp_path / "other")) == (2, [f"bench: {NO_RAY}"])
