"""CORS: listed origins only, preflights without a key, and what a page's script may read."""

from pathlib import Path

import pytest

from coe_ray.core.api_keys import add_key
from coe_ray.core.errors import ConfigError
from coe_ray.profile.profile import load_profile
from tests.serve.world import write_profile
from tests.support.chat_client import CHAT
from tests.support.endpoint import make_endpoint

PAGE, OTHER = "https://tools.example:3000", "https://other.example"


def preflight(origin: str) -> dict[str, str]:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,x-stainless-os"}
    return {"Origin": origin, **asked}


@pytest.fixture
def profile(world: Path) -> Path:
    """The world's profile with keys, open to `PAGE`."""
    add_key(world.parent / "cors-keys.json", "page") if not (world.parent / "cors-keys.json").exists() else None
    access = {"keys": "cors-keys.json", "cors_origins": [PAGE]}
    return write_profile(world.parent / "cors.yaml", "http://127.0.0.1:9/v1", access=access)


async def test_a_preflight_needs_no_key_and_gets_what_it_asks_for(profile: Path) -> None:
    async with make_endpoint(profile).client() as client:
        response = await client.options(CHAT, headers=preflight(PAGE))
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == PAGE
    assert "POST" in response.headers["access-control-allow-methods"]
    assert "x-stainless-os" in response.headers["access-control-allow-headers"]


async def test_an_origin_that_is_not_listed_is_refused(profile: Path) -> None:
    async with make_endpoint(profile).client() as client:
        response = await client.options(CHAT, headers=preflight(OTHER))
        assert response.status_code == 400
        assert "access-control-allow-origin" not in response.headers
        health = await client.get("/healthz", headers={"Origin": OTHER})
        assert "access-control-allow-origin" not in health.headers


async def test_the_request_itself_needs_its_key_and_the_page_can_read_why(profile: Path) -> None:
    async with make_endpoint(profile).client() as client:
        response = await client.post(CHAT, json={}, headers={"Origin": PAGE})
    assert response.status_code == 401
    assert response.headers["access-control-allow-origin"] == PAGE
    exposed = response.headers["access-control-expose-headers"]
    assert {"x-coe-task", "x-coe-expert", "retry-after"} <= {name.strip() for name in exposed.split(",")}


async def test_off_by_default_and_changed_while_serving(world: Path) -> None:
    endpoint = make_endpoint(world)
    async with endpoint.client() as client:

        async def allowed() -> str | None:
            response = await client.get("/healthz", headers={"Origin": PAGE})
            allowed: str | None = response.headers.get("access-control-allow-origin")
            return allowed

        assert await allowed() is None
        assert await endpoint.snapshots.apply({"access": {"cors_origins": [PAGE]}})
        assert await allowed() == PAGE
        assert await endpoint.snapshots.apply({})
        assert await allowed() is None


@pytest.mark.parametrize("origin", ["*", "tools.example", "https://tools.example/", "https://*.example"])
def test_what_is_no_origin_is_refused(world: Path, origin: str) -> None:
    path = write_profile(world.parent / "no-origin.yaml", "http://h/v1", access={"cors_origins": [origin]})
    with pytest.raises(ConfigError, match=r"access\.cors_origins\.0"):
        load_profile(path)
