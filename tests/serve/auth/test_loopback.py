"""Without keys an endpoint listens on loopback only."""

import pytest

from coe_ray.core.errors import ConfigError
from coe_ray.profile.profile import AccessConfig
from coe_ray.serve.auth.loopback import is_loopback, require_keys_or_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_loopback_may_go_without_keys(host: str) -> None:
    require_keys_or_loopback(AccessConfig(keys=False), host)


@pytest.mark.parametrize("host", [None, "", "0.0.0.0", "::", "10.0.0.4", "example.org", "localhost.example.org", "*"])
def test_anything_else_may_not(host: str | None) -> None:
    assert not is_loopback(host)
    with pytest.raises(ConfigError, match=r"access\.keys is off"):
        require_keys_or_loopback(AccessConfig(keys=False), host)
    require_keys_or_loopback(AccessConfig(), host)
