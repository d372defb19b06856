"""The rule that an endpoint without keys listens on loopback only."""

import ipaddress

from coe_ray.core.errors import ConfigError
from coe_ray.profile.profile import AccessConfig


def require_keys_or_loopback(access: AccessConfig, host: str | None) -> None:
    """Raises `ConfigError` where anybody on the network could ask without a key."""
    if access.keys is False and not is_loopback(host):
        raise ConfigError(
            f"access.keys is off, but Serve listens on {host or 'every interface'}: whoever reaches it could ask; "
            "take `keys: off` out of the profile and make a key with `coe-ray keys`, or start Serve with "
            "http_options.host 127.0.0.1"
        )


def is_loopback(host: str | None) -> bool:
    """Whether the host is certainly loopback; a name other than localhost may lead anywhere."""
    if host is None:
        return False
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
