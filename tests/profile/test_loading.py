"""A profile upon another: what stands in it counts, null takes away, paths stay with the file that names them."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.core.errors import ConfigError
from coe_ray.profile.loading import merge_patch, read_profile, shipped_profiles
from coe_ray.profile.profile import Profile, load_profile, patch_profile
from tests.support.profiles import content, write_profile


def written(path: Path, **keys: Any) -> Path:
    return write_profile(path, keys)


def base(path: Path, **changes: Any) -> Path:
    return written(path, **content(**changes))


def upon(path: Path, named: str, **changes: Any) -> Profile:
    return load_profile(written(path, extends=named, **changes))


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as error:
        load_profile(path)
    return str(error.value)


def test_without_a_change_all_is_as_in_the_other_file_but_for_the_name(tmp_path: Path) -> None:
    other = load_profile(base(tmp_path / "base.yaml"))
    own = upon(tmp_path / "own.yaml", "base.yaml")
    assert (own.name, own.folder, own.extends) == ("own", str(tmp_path), "base.yaml")
    same = {"file_name": other.file_name, "extends": None}
    assert own.model_copy(update=same) == other


@pytest.mark.parametrize("name", shipped_profiles())
def test_a_shipped_profile_is_extended_by_its_name(tmp_path: Path, name: str) -> None:
    own = upon(tmp_path / "own.yaml", name, routing={"deadline_s": 7})
    shipped = load_profile(name)
    assert own.routing.deadline_s == 7
    assert (own.models, own.experts, own.task_list) == (shipped.models, shipped.experts, shipped.task_list)
    assert own.leaderboard_file == shipped.leaderboard_file


def test_a_change_is_merged_key_by_key_and_lists_are_replaced(tmp_path: Path) -> None:
    base(tmp_path / "base.yaml")
    own = upon(
        tmp_path / "own.yaml",
        "base.yaml",
        tasks=["opseval"],
        experts={"beta": {"constrained": False}, "gamma": {"model": "two"}},
        classifier={"k": 3},
    )
    assert list(own.experts) == ["alpha", "beta", "gamma"]
    assert (own.experts["beta"].model, own.experts["beta"].prompt, own.experts["beta"].constrained) == (
        "two",
        "direct",
        False,
    )
    assert (own.classifier.model, own.classifier.k) == ("sorter", 3)
    assert len(own.task_list) == 4


def test_null_takes_away(tmp_path: Path) -> None:
    base(tmp_path / "base.yaml", routing={"deadline_s": 7}, access={"keys": False, "concurrency": 3})
    own = upon(
        tmp_path / "own.yaml",
        "base.yaml",
        experts={"beta": None},
        models={"two": None},
        routing=None,
        access={"keys": None},
        study=None,
    )
    assert (list(own.experts), sorted(own.models)) == (["alpha"], ["one", "sorter"])
    assert own.routing.deadline_s == 300
    assert (own.access.keys, own.access.concurrency) == (None, 3)


def test_what_null_took_away_and_somebody_needs_is_missed_in_the_own_file(tmp_path: Path) -> None:
    base(tmp_path / "base.yaml")
    path = written(tmp_path / "own.yaml", extends="base.yaml", models={"two": None})
    assert refusal(path) == f"{path}: experts.beta.model: no model 'two' in models (there are: sorter, one); correct it"


def test_a_chain_is_followed_to_its_end_and_the_last_word_counts(tmp_path: Path) -> None:
    base(tmp_path / "a.yaml")
    written(tmp_path / "b.yaml", extends="a.yaml", classifier={"k": 3}, routing={"deadline_s": 7})
    own = upon(tmp_path / "c.yaml", "b.yaml", classifier={"k": 1})
    assert (own.classifier.k, own.routing.deadline_s, own.classifier.model) == (1, 7, "sorter")


def test_the_other_file_is_sought_beside_the_own_one_and_not_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base(tmp_path / "shared" / "base.yaml")
    written(tmp_path / "own" / "own.yaml", extends="../shared/base.yaml")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_profile(tmp_path / "own" / "own.yaml").task_list
    assert load_profile("../own/own.yaml").name == "own"


def test_a_shipped_name_means_the_shipped_profile_also_where_a_file_of_that_name_lies(tmp_path: Path) -> None:
    base(tmp_path / "local-cpu")
    assert upon(tmp_path / "own.yaml", "local-cpu").models == load_profile("local-cpu").models
    assert sorted(upon(tmp_path / "own.yaml", "./local-cpu").models) == ["one", "sorter", "two"]


PLACES: dict[str, Any] = {
    "leaderboard": {"path": "board.json"},
    "retrieval": {"encoder": {"hub": "fake/encoder"}, "index": "i", "examples": "mine"},
    "access": {"keys": "keys.json"},
}


def with_a_table(path: str) -> dict[str, Any]:
    return {**content()["models"], "past": {"kind": "recorded", "path": path}}


def places(profile: Profile) -> list[Path | None]:
    past = profile.models["past"]
    assert past.kind == "recorded"
    return [
        profile.leaderboard_file,
        profile.index_folder,
        profile.keys_file,
        profile.path(past.path),
        profile.path(profile.retrieval.examples),
    ]


def test_relative_paths_are_those_of_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "shared" / "mine").mkdir(parents=True)
    other = base(tmp_path / "shared" / "base.yaml", models=with_a_table("past.csv"), **PLACES)
    shared = tmp_path / "shared"
    expected = [shared / name for name in ("board.json", "i", "keys.json", "past.csv", "mine")]
    assert places(load_profile(other)) == expected
    assert places(upon(tmp_path / "own" / "own.yaml", "../shared/base.yaml")) == [
        tmp_path / "own" / ".." / "shared" / path.name for path in expected
    ]


def test_relative_paths_of_the_own_file_are_its_own(tmp_path: Path) -> None:
    base(tmp_path / "shared" / "base.yaml", models=with_a_table("past.csv"), **PLACES)
    own = upon(tmp_path / "own.yaml", "shared/base.yaml", leaderboard={"path": "b.json"}, access={"keys": "k.json"})
    assert (own.leaderboard_file, own.keys_file) == (tmp_path / "b.json", tmp_path / "k.json")
    assert own.index_folder == tmp_path / "shared" / "i"


def test_each_file_of_a_chain_anchors_its_own_paths(tmp_path: Path) -> None:
    base(tmp_path / "a" / "a.yaml", leaderboard={"path": "board.json"})
    written(tmp_path / "b" / "b.yaml", extends="../a/a.yaml", access={"keys": "keys.json"})
    own = upon(tmp_path / "c.yaml", "b/b.yaml")
    assert own.leaderboard_file is not None
    assert own.leaderboard_file.resolve() == (tmp_path / "a" / "board.json").resolve()
    assert own.keys_file == tmp_path / "b" / "keys.json"


def test_examples_that_are_the_name_of_a_benchmark_stay_a_name(tmp_path: Path) -> None:
    base(tmp_path / "shared" / "base.yaml")
    assert upon(tmp_path / "own.yaml", "shared/base.yaml").retrieval.examples == "sample"


def test_whole_paths_and_those_below_home_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    base(tmp_path / "shared" / "base.yaml", leaderboard={"path": "~/board.json"}, access={"keys": "/etc/keys.json"})
    own = upon(tmp_path / "own.yaml", "shared/base.yaml")
    assert (own.leaderboard_file, own.keys_file) == (tmp_path / "home" / "board.json", Path("/etc/keys.json"))


def test_a_patch_to_a_profile_upon_another_keeps_what_it_was_made_of(tmp_path: Path) -> None:
    base(tmp_path / "shared" / "base.yaml", leaderboard={"path": "board.json"})
    own = upon(tmp_path / "own.yaml", "shared/base.yaml", experts={"gamma": {"model": "one"}})
    assert patch_profile(own, {}) == own
    new = patch_profile(own, {"experts": {"beta": None}})
    assert (list(new.experts), new.leaderboard_file) == (["alpha", "gamma"], tmp_path / "shared" / "board.json")


@pytest.mark.parametrize(
    "files",
    [
        {"a.yaml": "a.yaml"},
        {"a.yaml": "./a.yaml"},
        {"a.yaml": "b.yaml", "b.yaml": "a.yaml"},
        {"a.yaml": "b.yaml", "b.yaml": "c.yaml", "c.yaml": "b.yaml"},
        {"a.yaml": "sub/b.yaml", "sub/b.yaml": "../a.yaml"},
        {"a.yaml": "sub/../a.yaml", "sub/b.yaml": "local-cpu"},
    ],
    ids=str,
)
def test_files_that_extend_each_other_are_refused(tmp_path: Path, files: dict[str, str]) -> None:
    for name, named in files.items():
        written(tmp_path / name, extends=named)
    message = refusal(tmp_path / "a.yaml")
    assert "extends: leads back to " in message
    assert message.endswith("one of them must extend nothing")
    assert len(message) < 300 + len(str(tmp_path)) * 3


def test_a_link_to_the_own_file_is_the_own_file(tmp_path: Path) -> None:
    path = written(tmp_path / "a.yaml", extends="b.yaml")
    (tmp_path / "b.yaml").symlink_to(path)
    assert "extends: leads back to b.yaml" in refusal(path)


@pytest.mark.parametrize(
    "named", ["nowhere.yaml", "local-gpuu", ".", "", "x" * 300, "a\0b", "~nobody/base.yaml"], ids=lambda n: repr(n[:9])
)
def test_what_is_not_there_to_extend_is_said_with_file_and_key(tmp_path: Path, named: str) -> None:
    path = written(tmp_path / "own.yaml", extends=named)
    message = refusal(path)
    assert message.startswith(f"{path}: extends: no profile ")
    assert message.endswith(", ".join(shipped_profiles()))


@pytest.mark.parametrize("named", [5, ["base.yaml"], {"path": "base.yaml"}, True])
def test_what_is_no_name_cannot_be_extended(tmp_path: Path, named: object) -> None:
    path = written(tmp_path / "own.yaml", **content(), extends=named)
    assert refusal(path) == f"{path}: extends: Input should be a valid string; correct this value"


def test_a_broken_file_below_is_the_one_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("a: [")
    assert refusal(written(tmp_path / "own.yaml", extends="base.yaml")).startswith(
        f"{tmp_path / 'base.yaml'}: not readable as YAML"
    )
    (tmp_path / "base.yaml").write_text("- a")
    assert "base.yaml: a profile is a mapping" in refusal(tmp_path / "own.yaml")


def test_a_mapping_that_holds_itself_is_refused(tmp_path: Path) -> None:
    base(tmp_path / "base.yaml")
    path = tmp_path / "own.yaml"
    path.write_text("extends: base.yaml\nmodels: &models {more: *models}\n")
    assert refusal(path) == f"{path}: a mapping in it holds itself (a YAML alias); write it out"


@pytest.mark.parametrize("key", ["file_name", "folder"])
def test_where_the_file_lies_is_not_said_in_the_one_below_either(tmp_path: Path, key: str) -> None:
    base(tmp_path / "base.yaml", **{key: "x"})
    path = written(tmp_path / "own.yaml", extends="base.yaml")
    assert refusal(path) == f"{path}: {key}: comes from where the file lies; remove it"


def test_sections_that_are_none_are_refused_and_do_not_break_the_reading(tmp_path: Path) -> None:
    base(tmp_path / "base.yaml", leaderboard=["board.json"], access="off", models="many", retrieval=5)
    message = refusal(written(tmp_path / "own.yaml", extends="base.yaml"))
    assert all(f"{key}: " in message for key in ("leaderboard", "access", "models", "retrieval"))


def test_the_content_is_read_whole_with_where_it_lies(tmp_path: Path) -> None:
    base(tmp_path / "base.yaml")
    path = written(tmp_path / "own.yaml", extends="base.yaml", classifier={"k": 1})
    where, read = read_profile(path)
    assert where == path
    assert read == {**content(), "classifier": {**content()["classifier"], "k": 1}, "extends": "base.yaml"}


PLAIN = st.recursive(
    st.booleans() | st.integers(0, 9) | st.text(max_size=3) | st.lists(st.integers(0, 9), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)
CONTENT = st.dictionaries(st.sampled_from("abcd"), PLAIN, max_size=4)
CHANGE = st.dictionaries(
    st.sampled_from("abcd"),
    st.recursive(st.none() | PLAIN, lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3)),
    max_size=4,
)


def has_null(content: Any) -> bool:
    return content is None or (isinstance(content, dict) and any(map(has_null, content.values())))


@given(CONTENT, CHANGE)
def test_a_merge_leaves_no_null_changes_nothing_twice_and_not_what_it_was_given(
    before: dict[str, Any], change: dict[str, Any]
) -> None:
    kept = yaml.safe_dump([before, change])
    after = merge_patch(before, change)
    assert yaml.safe_dump([before, change]) == kept
    assert not has_null(after)
    assert merge_patch(after, change) == after
    assert {key: after[key] for key in before if key not in change} == {
        key: value for key, value in before.items() if key not in change
    }


@given(CONTENT)
def test_nothing_changes_nothing_and_everything_is_made_of_nothing(before: dict[str, Any]) -> None:
    assert merge_patch(before, {}) == before
    assert merge_patch({}, before) == before
    assert merge_patch("no mapping", before) == before
