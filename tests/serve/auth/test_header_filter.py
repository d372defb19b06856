"""The header filter: nothing that steers Serve gets through; warnings about the environment."""

from typing import cast

import pytest
from starlette.types import Message, Receive, Scope, Send

from coe_ray.serve.auth.header_filter import (
    CALLBACK,
    RAY_ENVIRONMENT,
    WANTED_ENVIRONMENT,
    HeaderFilter,
    environment_warnings,
    middlewares,
)


async def filtered(*headers: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """The headers that the application gets."""
    seen: list[tuple[bytes, bytes]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend(scope["headers"])

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError

    await HeaderFilter(app)({"type": "http", "headers": headers}, receive, send)
    return seen


async def test_the_filter_takes_out_what_steers_serve() -> None:
    harmless = [(b"host", b"x"), (b"authorization", b"Bearer coe-key"), (b"x-request-id", b"0b9f-4.a:1")]
    harmful = [
        (b"x-request-timeout-seconds", b"0"),
        (b"x-request-disconnect-disabled", b"?1"),
        (b"serve-multiplexed_model-id", b"m"),
        (b"x_session_id", b"s"),
        (b"traceparent", b"\xff"),
        (b"x-request-id", b"two words"),
        (b"x-request-id", b""),
        (b"x-request-id", b"a" * 129),
        (b"x-request-id", b"a\n"),
        (b"x-request-id", b"\xff"),
    ]
    assert await filtered(*harmless, *harmful) == harmless


async def test_the_filter_lets_a_lifespan_pass() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope == {"type": "lifespan"}

    async def nothing(*_: object) -> Message:
        raise AssertionError

    await HeaderFilter(app)({"type": "lifespan"}, nothing, nothing)  # type: ignore[arg-type]  # never called


def test_serve_gets_the_path_of_the_filter() -> None:
    assert RAY_ENVIRONMENT["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"] == CALLBACK
    [middleware] = middlewares()
    assert cast(object, middleware.cls) is HeaderFilter


@pytest.mark.parametrize("missing", RAY_ENVIRONMENT)
def test_warns_of_what_protects_from_strangers(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    for name, value in {**WANTED_ENVIRONMENT, **RAY_ENVIRONMENT}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv(missing)
    assert environment_warnings() == [f"{missing} is not set; set it before `ray start`, see docs/security.md"]


@pytest.mark.parametrize("missing", WANTED_ENVIRONMENT)
def test_warns_of_what_was_not_set_before_ray_started(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    for name, value in {**WANTED_ENVIRONMENT, **RAY_ENVIRONMENT}.items():
        monkeypatch.setenv(name, value)
    assert environment_warnings() == []
    monkeypatch.delenv(missing)
    (warning,) = environment_warnings()
    assert warning.startswith(f"{missing}=1 is not set")
    monkeypatch.setenv(missing, "0")
    assert environment_warnings() == [warning]
