"""The ports that a Ray of our own needs: a taken one is named with a remedy before anything starts."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from coe_ray.cli import local_ray
from coe_ray.cli.local_ray import prepare_environment, require_free_ports
from coe_ray.cli.main import ENVIRONMENT, set_environment
from coe_ray.core.errors import ConfigError
from coe_ray.serve.auth.header_filter import RAY_ENVIRONMENT, WANTED_ENVIRONMENT


def test_the_environment_is_that_of_a_fast_and_safe_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"PATH": "/bin", "RAY_AUTH_MODE": "disabled"})
    set_environment()
    prepare_environment()
    wanted = {**ENVIRONMENT, **WANTED_ENVIRONMENT, **RAY_ENVIRONMENT, "RAY_AUTH_MODE": "disabled"}
    assert os.environ.items() >= wanted.items()
    assert os.environ["PATH"].split(os.pathsep) == [str(Path(sys.executable).parent), "/bin"]


@contextmanager
def listening() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.fixture(autouse=True)
def ports_of_ray(monkeypatch: pytest.MonkeyPatch) -> dict[int, str]:
    """None of Ray's real ports: another Ray may run on the machine of this test."""
    ports: dict[int, str] = {}
    monkeypatch.setattr(local_ray, "PORTS", ports)
    return ports


def test_a_free_port_is_fine() -> None:
    with listening() as port:
        pass
    require_free_ports("127.0.0.1", port)


def test_a_taken_port_of_the_endpoint_wants_another() -> None:
    with listening() as port, pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1 is taken; .*serve --port"):
        require_free_ports("127.0.0.1", port)


def test_a_port_that_is_still_closing_is_free() -> None:
    with listening() as port, socket.create_connection(("127.0.0.1", port)):
        pass
    require_free_ports("127.0.0.1", port)


def test_a_taken_port_of_ray_names_the_other_ray(ports_of_ray: dict[int, str]) -> None:
    with listening() as port:
        ports_of_ray[port] = "its dashboard"
        with pytest.raises(ConfigError, match=rf"port {port} is taken, .*its dashboard; .*`ray stop`"):
            require_free_ports("127.0.0.1", 0)


def test_a_host_that_is_not_of_this_machine_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.1, port 8000: .*serve --host"):
        require_free_ports("192.0.2.1", 8000)
