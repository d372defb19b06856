"""Where Serve listens, and that an endpoint without keys does so on loopback only."""

import ipaddress
from typing import cast

import ray
from ray.serve.context import _get_global_client

from coe_ray.core.errors import ConfigError
from coe_ray.profile.profile import AccessConfig


def listening_host() -> str | None:
    """The host that Serve's proxies and ingress replicas listen on: `None` for every interface, as HAProxy has it.

    Serve must run, as it does around a replica and in `serve deploy`; `serve run` builds before it starts Serve.
    """
    return cast("str | None", _get_global_client().http_config.host)


def is_serve_running() -> bool:
    """Whether this process is connected to a Ray with a Serve controller. It connects to none by itself."""
    return ray.is_initialized() and _get_global_client(raise_if_no_controller_running=False) is not None


def require_keys_or_loopback(access: AccessConfig, host: str | None) -> None:
    """Raises `ConfigError` where anybody on the network could ask without a key."""
    if access.keys is False and not is_loopback(host):
        raise ConfigError(
            f"access.keys is off, but Serve listens on {host or 'every interface'}: whoever reaches it could ask; "
            "take `keys: off` out of the profile and make a key with jobs/keys.py, or start Serve with "
            "http_options.host 127.0.0.1"
        )


def is_loopback(host: str | None) -> bool:
    """Only what certainly is: a name other than localhost may lead anywhere."""
    if host is None:
        return False
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
