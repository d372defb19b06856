"""Ports of this machine: whether a server can listen there."""

import errno
import socket

from coe_ray.core.errors import ConfigError


def require_free_port(host: str, port: int) -> None:
    """Raises `ConfigError`, naming the port, where nothing can listen on it."""
    if (error := bind_error(host, port)) is not None:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(f"port {port} of {host} is taken; stop what listens there, or see `coe-ray serve --port`")
        raise ConfigError(f"cannot listen on {host}, port {port}: {error.strerror}; see `coe-ray serve --host`")


def bind_error(host: str, port: int) -> OSError | None:
    """The error of listening there; `None` where it works."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # or the last server's connections refuse it
            probe.bind(place)
            probe.listen(1)
    except OSError as error:
        return error
    return None
