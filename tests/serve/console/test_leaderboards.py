"""The leaderboards that can be shown: the one that is served, those of former changes, and their neighbours."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from coe_ray.core.types import Provenance
from coe_ray.profile.profile import Profile, load_profile
from coe_ray.routing.leaderboard import Leaderboard
from coe_ray.serve.console.leaderboards import find_leaderboards, list_leaderboard
from coe_ray.serve.snapshot.history import Change
from tests.serve.world import write_profile

SERVED = "leaderboard.json"


def board(correct: int, created: str = "", experts: tuple[str, ...] = ("captain", "gauge")) -> Leaderboard:
    rows = [(expert, "Broken", correct, 10) for expert in experts]
    return Leaderboard.from_scores(rows, Provenance(created=created, run="dev"))


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    """Of two experts; its leaderboard is not written yet."""
    path = write_profile(tmp_path / "world.yaml", "http://127.0.0.1:1/v1")
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["experts"] = {name: content["experts"][name] for name in ("captain", "gauge")}
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return load_profile(path)


def test_the_served_one_comes_first_and_its_file_is_no_other(profile: Profile, tmp_path: Path) -> None:
    whole = board(5, experts=("captain", "gauge", "retired"))
    whole.save(tmp_path / SERVED)
    served = whole.narrowed(profile.experts)
    assert whole.version != served.version
    assert list(find_leaderboards(profile, served, [])) == [served.version]


def test_neighbours_are_listed_the_newest_first(profile: Profile, tmp_path: Path) -> None:
    served, old, older = board(5, "2026-11-03"), board(4, "2026-11-02"), board(3, "2026-11-01")
    served.save(tmp_path / SERVED)
    older.save(tmp_path / "a.leaderboard.json")
    old.save(tmp_path / "b.leaderboard.json")
    old.save(tmp_path / "copy.leaderboard.json")
    old.save(tmp_path / "b.json")
    assert list(find_leaderboards(profile, served, [])) == [served.version, old.version, older.version]


def test_a_file_that_a_change_named_is_found_wherever_it_lies(profile: Profile, tmp_path: Path) -> None:
    served, former = board(5), board(4)
    served.save(tmp_path / SERVED)
    former.save(tmp_path / "elsewhere" / "former.json")
    history = [Change({"leaderboard": {"path": "elsewhere/former.json"}}, "v1"), Change({"tasks": []}, "v2")]
    assert list(find_leaderboards(profile, served, history)) == [served.version, former.version]


def test_what_is_none_or_another_profiles_is_left_out(profile: Profile, tmp_path: Path) -> None:
    served = board(5)
    served.save(tmp_path / SERVED)
    board(4, experts=("strangers",)).save(tmp_path / "other.leaderboard.json")
    (tmp_path / "torn.leaderboard.json").write_bytes(b'{"scores": [')
    (tmp_path / "folder.leaderboard.json").mkdir()
    assert list(find_leaderboards(profile, served, [])) == [served.version]


def test_a_file_that_is_written_anew_is_read_anew(profile: Profile, tmp_path: Path) -> None:
    """The former is still served, and the new one can be looked at before it is."""
    served, new = board(5), board(10)
    served.save(tmp_path / SERVED)
    assert list(find_leaderboards(profile, served, [])) == [served.version]
    new.save(tmp_path / SERVED)
    assert list(find_leaderboards(profile, served, [])) == [served.version, new.version]


def test_a_profile_without_any(profile: Profile) -> None:
    assert (
        find_leaderboards(
            profile.model_copy(update={"leaderboard": profile.leaderboard.model_copy(update={"path": None})}), None, []
        )
        == {}
    )


def test_a_list_tells_all_but_the_scores() -> None:
    one, other = board(5, "2026-11-03"), board(4)
    listed = list_leaderboard(one, one)
    assert listed.served
    assert not list_leaderboard(one, other).served
    assert not list_leaderboard(one, None).served
    assert (listed.experts, listed.tasks, listed.answers) == (["captain", "gauge"], ["Broken"], 20)
    assert listed.model_dump()["provenance"]["created"] == "2026-11-03"
    assert "scores" not in listed.model_dump()
