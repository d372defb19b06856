"""The snapshot manager: a change is taken as a whole or not at all, and a replica that starts late catches up."""

from pathlib import Path
from typing import Any

import pytest

from coe_ray.core.errors import ConfigError
from coe_ray.llm.factory import make_local_models
from coe_ray.profile.profile import Profile
from coe_ray.serve.snapshot.manager import SnapshotManager
from coe_ray.serve.snapshot.snapshot import SnapshotBuilder
from tests.support.endpoint import MemoryStore, NoIndex
from tests.support.profiles import small_profile

GOOD: dict[str, Any] = {"routing": {"deadline_s": 7.0}}
BAD: dict[str, Any] = {"experts": {"alpha": {"model": "nobody"}}}


def make_manager(profile: Profile, store: MemoryStore, prepared: list[Profile] | None = None) -> SnapshotManager:
    async def prepare(changed: Profile) -> None:
        if prepared is not None:
            prepared.append(changed)

    builder = SnapshotBuilder(profile, make_models=make_local_models, hosted={}, make_retriever=NoIndex)
    return SnapshotManager(builder, store, prepare)


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    return small_profile(tmp_path)


async def test_a_change_is_served_and_recorded(profile: Profile) -> None:
    prepared: list[Profile] = []
    manager = make_manager(profile, MemoryStore(), prepared)
    first = manager.current
    assert await manager.apply(GOOD)
    assert manager.current.version != first.version
    assert manager.current.profile.routing.deadline_s == 7.0
    assert [each.version for each in await manager.history()] == [first.version, manager.current.version]
    assert prepared[-1] == manager.current.profile
    assert manager.deployed == first.profile


async def test_a_bad_change_leaves_everything_as_it_was(profile: Profile) -> None:
    manager = make_manager(profile, MemoryStore())
    await manager.apply(GOOD)
    good = manager.current
    assert not await manager.apply(BAD)
    assert manager.current is good
    assert manager.refused is not None
    assert "no model 'nobody'" in manager.refused
    assert await manager.apply(GOOD)
    assert manager.refused is None


async def test_a_change_that_cannot_be_prepared_is_refused(profile: Profile) -> None:
    async def refuse(_: Profile) -> None:
        raise ConfigError("no keys")

    builder = SnapshotBuilder(profile, make_models=make_local_models, hosted={}, make_retriever=NoIndex)
    manager = SnapshotManager(builder, MemoryStore(), refuse)
    first = manager.current
    assert not await manager.apply(GOOD)
    assert (manager.current, manager.refused) == (first, "no keys")


async def test_a_new_replica_with_a_bad_change_takes_the_last_good_one(profile: Profile) -> None:
    store = MemoryStore()
    old = make_manager(profile, store)
    await old.apply(GOOD)
    new = make_manager(profile, store)
    assert not await new.apply(BAD)
    assert new.current.version == old.current.version


async def test_an_index_that_is_not_there_is_refused(profile: Profile) -> None:
    manager = make_manager(profile, MemoryStore())
    assert not await manager.apply({"retrieval": {"index": "elsewhere"}})
    assert "elsewhere: no index" in str(manager.refused)


async def test_storage_of_the_history_that_fails_does_not_stop_a_change(
    profile: Profile, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    manager = make_manager(profile, store)

    def fail(_: str) -> list[str]:
        raise ConnectionError("the control service is away")

    monkeypatch.setattr(store, "keys", fail)
    assert await manager.apply(GOOD)
    assert manager.current.profile.routing.deadline_s == 7.0


async def test_models_that_do_not_change_are_kept_with_their_connections(profile: Profile) -> None:
    manager = make_manager(profile, MemoryStore())
    before = manager.current.local_models
    await manager.apply(GOOD)
    assert manager.current.local_models is before
    await manager.apply({"models": {"one": {"rules": [{"pattern": ".", "reply": "new"}]}}})
    assert manager.current.local_models is not before
