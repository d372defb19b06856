"""Snapshots: what a change may be, versions, and the cache of routes."""

from pathlib import Path

import pytest

from coe_ray.core.errors import ConfigError
from coe_ray.core.questions import make_question
from coe_ray.profile.profile import Profile
from coe_ray.serve.snapshot.snapshot import apply_change, snapshot_version
from tests.serve.snapshot.test_manager import make_manager
from tests.support.endpoint import MemoryStore
from tests.support.planted import BOARD
from tests.support.profiles import small_profile


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    BOARD.save(tmp_path / "leaderboard.json")
    return small_profile(tmp_path, leaderboard={"path": "leaderboard.json"})


def test_a_change_that_needs_another_deployment_is_refused(profile: Profile) -> None:
    with pytest.raises(ConfigError, match=r"retrieval\.encoder"):
        apply_change(profile, {"retrieval": {"encoder": {"hub": "other/encoder"}}})
    with pytest.raises(ConfigError, match="vllm are deployments"):
        apply_change(profile, {"models": {"new": {"kind": "vllm", "weights": {"hub": "a/b"}}}})
    with pytest.raises(ConfigError, match="must be a mapping"):
        apply_change(profile, [])  # type: ignore[arg-type]  # as YAML may have it


def test_a_version_follows_from_profile_and_leaderboard(profile: Profile) -> None:
    changed = apply_change(profile, {"routing": {"deadline_s": 7.0}})
    versions = [snapshot_version(each, board) for each in (profile, changed) for board in (BOARD, None)]
    assert len(set(versions)) == 4
    assert snapshot_version(apply_change(profile, {}), BOARD) == versions[0]


async def test_a_route_is_cached_and_says_so(profile: Profile) -> None:
    manager = make_manager(profile, MemoryStore())
    question = make_question("How do I compile?")
    first = await manager.current.route(question)
    second = await manager.current.route(question)
    assert (first.cached, second.cached) == (False, True)
    assert (first.expert, first.reason) == (second.expert, second.reason)
    await manager.apply({"routing": {"deadline_s": 7.0}})
    assert not (await manager.current.route(question)).cached
