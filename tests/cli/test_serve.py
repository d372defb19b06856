"""`coe-ray serve`: what cannot be served is said before a Ray is started."""

import os
import socket
from pathlib import Path

import pytest

from coe_ray.cli import local_ray
from coe_ray.cli.main import main


@pytest.fixture(autouse=True)
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


def test_another_host_wants_keys(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--host", "0.0.0.0", "--port", port]) == 2
    assert "access.keys is off, but Serve listens on 0.0.0.0" in capsys.readouterr().err


def test_keys_must_be_there(tmp_path: Path, port: str, capsys: pytest.CaptureFixture[str]) -> None:
    profile = tmp_path / "mine.yaml"
    profile.write_text("extends: local-cpu\naccess: {keys: keys.json}\n")
    assert main(["serve", "--profile", str(profile), "--port", port]) == 2
    assert f"make one: coe-ray keys --file {tmp_path}/keys.json add NAME" in capsys.readouterr().err


def test_a_taken_port_comes_before_anything_else(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        taken = server.getsockname()[1]
        assert main(["serve", "--profile", "no such profile", "--port", str(taken)]) == 2
    assert capsys.readouterr().err.startswith(f"serve: port {taken} of 127.0.0.1 is taken")
