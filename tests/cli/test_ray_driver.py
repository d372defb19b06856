"""Whether a Ray runs is known at once: a dead address is an error with a remedy, its file on this machine goes."""

import os
import socket
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
import ray.exceptions

from coe_ray.cli.ray_driver import accepts_connections, address_file, connect, require_lasting_path, require_ray
from coe_ray.core.errors import ConfigError


@pytest.fixture(autouse=True)
def ray_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "ray").mkdir()
    return tmp_path


@pytest.fixture
def dead_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize("running", [True, False])
def test_the_file_of_a_dead_ray_is_removed(dead_address: str, running: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another Ray without a file may run: Ray finds it by its process."""
    monkeypatch.setattr("coe_ray.cli.ray_driver._is_ray_process_running", lambda: running)
    address_file().write_text(f"{dead_address}\n")
    for _ in ("with a file", "without one"):
        with nullcontext() if running else pytest.raises(ConfigError, match=r"no Ray is running .*ray start --head"):
            require_ray()
        assert not address_file().exists()


def test_the_file_of_a_ray_that_answers_stays() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        address_file().write_text(f"127.0.0.1:{server.getsockname()[1]}")
        require_ray()
    assert address_file().exists()


def test_the_file_of_another_machines_head_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker node has the head's address in it, which may be away for a moment."""
    monkeypatch.setattr("coe_ray.cli.ray_driver.accepts_connections", lambda _: False)
    address_file().write_text("192.0.2.1:6379")
    with pytest.raises(ConfigError, match=r"no Ray answers at 192\.0\.2\.1:6379"):
        require_ray()
    assert address_file().exists()


def test_a_dead_address_of_the_environment_is_an_error(dead_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", dead_address)
    with pytest.raises(ConfigError, match=f"no Ray answers at {dead_address}; .*RAY_ADDRESS"):
        require_ray()
    with pytest.raises(ConfigError, match="no Ray answers at 127"):
        require_ray(dead_address)


@pytest.mark.parametrize("address", ["", "127.0.0.1", "127.0.0.1:none", "no.such.host.invalid:1"])
def test_what_is_no_address_accepts_nothing(address: str) -> None:
    assert not accepts_connections(address)


@pytest.mark.parametrize("runtime_env", [{}, {"working_dir": "gcs://package.zip"}])
def test_in_a_job_results_go_to_an_absolute_path(runtime_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The working folder of a submitted job is a copy that Ray removes."""
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(runtime_env=runtime_env))
    assert require_lasting_path("--out", Path("/shared/run")) == Path("/shared/run")
    assert require_lasting_path("--out", Path("~/run")) == Path.home() / "run"
    if runtime_env:
        with pytest.raises(ConfigError, match="--out run: in a job give an absolute path"):
            require_lasting_path("--out", Path("run"))
    else:
        assert require_lasting_path("--out", Path("run")) == Path("run").absolute()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConnectionError("Could not find any running Ray instance."), "no Ray is running on this machine"),
        (ray.exceptions.AuthenticationError("no token"), r"it asks for a token\. Copy ~/\.ray/auth_token"),
    ],
)
def test_what_ray_refuses_has_a_remedy(error: Exception, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise error

    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr("coe_ray.cli.ray_driver.require_ray", lambda _: None)
    monkeypatch.setattr("coe_ray.cli.ray_driver.hide_core_lines", lambda: None)
    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(ConfigError, match=message):
        connect()
