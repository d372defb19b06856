"""A port that is taken is named, with a remedy."""

import socket

import pytest

from coe_ray.core.errors import ConfigError
from coe_ray.core.ports import bind_error, require_free_port


def test_a_free_port_is_free_again_after_the_check() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    for _ in range(2):
        require_free_port("127.0.0.1", port)


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port {port} of 127\.0\.0\.1 is taken; stop what listens there"):
            require_free_port("127.0.0.1", port)


def test_an_address_of_another_machine_is_no_taken_port() -> None:
    with pytest.raises(
        ConfigError,
        match=r"cannot listen on 203\.0\.113\.1, port 1234: .*; see `coe-ray serve --host`",
    ):
        require_free_port("203.0.113.1", 1234)
    assert bind_error("127.0.0.1", 0) is None
