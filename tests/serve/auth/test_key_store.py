"""The key store: what is read, when, and that the event loop never waits for storage."""

import asyncio
import threading
from pathlib import Path

import pytest

from coe_ray.core.api_keys import ApiKey, add_key, read_keys, remove_key
from coe_ray.core.errors import DataError
from coe_ray.profile.profile import AccessConfig
from coe_ray.serve.auth import key_store
from coe_ray.serve.auth.authenticator import Authenticator
from coe_ray.serve.auth.key_store import PATIENCE_S, READ_EVERY_S, STALE_S, KeyStore


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    add_key(tmp_path / "keys.json", "first")
    return tmp_path / "keys.json"


def names(store: KeyStore) -> list[str]:
    return [key.name for key in store.keys]


def test_a_missing_file_is_an_error_at_first(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nobody has a key"):
        KeyStore(tmp_path / "keys.json", Clock())


async def test_a_change_is_polled_within_a_second_and_reported_once(file: Path) -> None:
    clock = Clock()
    store = KeyStore(file, clock)
    add_key(file, "second")
    assert not store.poll(clock.now)
    clock.now += READ_EVERY_S
    assert not store.poll(clock.now)  # it starts the read
    assert store._reading is not None
    await store._reading
    assert [store.poll(clock.now), store.poll(clock.now)] == [True, False]
    assert names(store) == ["first", "second"]


async def test_a_removed_key_is_gone_after_a_quiet_time(file: Path) -> None:
    clock = Clock()
    store = KeyStore(file, clock)
    add_key(file, "second")
    remove_key(file, "first")
    clock.now += STALE_S
    await store.refresh(clock.now)
    assert store.poll(clock.now)
    assert names(store) == ["second"]


async def test_storage_that_hangs_is_waited_for_no_longer_than_its_patience(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    store = KeyStore(file, clock)
    works_again = threading.Event()
    monkeypatch.setattr(store, "read", lambda: works_again.wait(30))
    monkeypatch.setattr(key_store, "PATIENCE_S", 0.05)
    clock.now += STALE_S
    await store.refresh(clock.now)
    clock.now += PATIENCE_S
    await store.refresh(clock.now)  # at once: the read under way has had its time
    assert not store.poll(clock.now)
    assert names(store) == ["first"]
    works_again.set()


async def test_no_read_is_on_the_event_loop(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor one that a hot change asks for: another file of keys."""
    threads: list[threading.Thread] = []

    def noting(path: Path) -> tuple[ApiKey, ...]:
        threads.append(threading.current_thread())
        return read_keys(path)

    clock = Clock()
    authenticator = Authenticator(AccessConfig(), file, lambda: 1, clock)
    monkeypatch.setattr(key_store, "read_keys", noting)
    other = file.with_name("other.json")
    add_key(other, "second")
    await authenticator.configure(AccessConfig(), other)
    add_key(other, "third")
    clock.now += STALE_S
    await authenticator.refresh()
    assert len(threads) == 2
    assert threading.main_thread() not in threads


async def test_a_configuration_that_cannot_be_read_changes_nothing(file: Path) -> None:
    authenticator = Authenticator(AccessConfig(), file, lambda: 1)
    with pytest.raises(DataError):
        await asyncio.wait_for(authenticator.configure(AccessConfig(), file.with_name("missing.json")), 30)
    assert authenticator._store is not None
    assert authenticator._store.path == file
