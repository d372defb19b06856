"""Profiles: shipped ones load; an error names file, key and remedy, and never shows a secret."""

import re
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from coe_ray.core.errors import ConfigError
from coe_ray.core.types import SamplingParams
from coe_ray.profile.loading import shipped_profiles
from coe_ray.profile.models import ApiModel
from coe_ray.profile.profile import Profile, home_folder, load_profile, patch_profile, runs_folder
from tests.support.profiles import content, small_profile, write_profile

Change = Callable[[dict[str, Any]], object]
SECRET = "sk-proj-" + "a1B2" * 8
KEY_LIKE = re.compile(r"\bsk-\w{8}|\bhf_\w{16}|\bAKIA\w{8}|Bearer \w")


@pytest.mark.parametrize("name", shipped_profiles())
def test_a_shipped_profile_loads(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert profile.task_list
    for model in profile.models.values():
        assert not isinstance(model, ApiModel) or model.key_env


@pytest.mark.parametrize("path", shipped_profiles().values(), ids=lambda path: path.stem)
def test_no_secret_stands_in_a_shipped_profile(path: Path) -> None:
    assert not KEY_LIKE.search(path.read_text(encoding="utf-8"))


def test_the_profile_for_one_cpu_is_shipped() -> None:
    assert "local-cpu" in shipped_profiles()


def test_a_profile_is_named_after_its_file_and_paths_are_relative_to_it(tmp_path: Path) -> None:
    profile = small_profile(tmp_path, leaderboard={"path": "board.json"})
    assert profile.name == "small"
    assert profile.leaderboard_file == tmp_path / "board.json"
    assert profile.path("/elsewhere") == Path("/elsewhere")


def test_the_index_lies_at_home_unless_the_profile_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COE_RAY_HOME", str(tmp_path / "home"))
    assert home_folder() == tmp_path / "home"
    assert small_profile(tmp_path).index_folder == tmp_path / "home" / "index" / "small"
    encoder = {"hub": "fake/encoder"}
    assert small_profile(tmp_path, retrieval={"encoder": encoder, "index": "i"}).index_folder == tmp_path / "i"


def test_task_sets_and_own_tasks_stand_side_by_side_in_order(tmp_path: Path) -> None:
    profile = small_profile(tmp_path, tasks=["opseval", {"name": "Storage", "description": "disks"}])
    assert [task.name for task in profile.task_list][3:] == ["Wired Network", "Storage"]


def test_settings_are_handed_on_as_given(tmp_path: Path) -> None:
    experts = {"alpha": {"model": "one", "settings": {"stop": ["END"], "seed": 0}}, "beta": {"model": "two"}}
    profile = small_profile(tmp_path, experts=experts)
    assert profile.experts["alpha"].settings == SamplingParams(stop=("END",), seed=0)
    assert profile.experts["beta"].settings == SamplingParams(temperature=0.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.update(rooting={}), "rooting: unknown key; remove it or correct its spelling"),
        (lambda p: p["experts"]["alpha"].update(temp=0), "experts.alpha.temp: unknown key"),
        (lambda p: p.pop("classifier"), "classifier: missing; add it"),
        (lambda p: p["retrieval"].pop("encoder"), "retrieval.encoder: missing; add it"),
        (lambda p: p["classifier"].update(k="many"), "classifier.k: Input should be a valid integer"),
        (lambda p: p["classifier"].update(k=-1), "classifier.k: Input should be greater than or equal to 0"),
        (lambda p: p["experts"]["alpha"].update(model="onee"), "experts.alpha.model: no model 'onee' in models"),
        (lambda p: p["experts"]["alpha"].update(model="onee"), "did you mean 'one'?"),
        (lambda p: p["classifier"].update(model="zzz"), "classifier.model: no model 'zzz'"),
        (lambda p: p["classifier"].update(model="zzz"), "there are: sorter, one, two"),
        (lambda p: p["tasks"].append(p["tasks"][0]), "tasks: ['Build'] named twice"),
        (lambda p: p["tasks"].append("devops-eval-b"), "tasks: ['Build'] named twice"),
        (lambda p: p["tasks"].append("devops-eval"), "tasks: no task set 'devops-eval' (did you mean 'devops-eval-"),
        (lambda p: p["tasks"][0].update(name="Unknown"), "tasks: 'unknown' is the class beyond the list"),
        (
            lambda p: p["models"]["one"].update(kind="magic"),
            "kind must be one of vllm, api, python, recorded, scripted",
        ),
        (lambda p: p["models"]["one"].pop("kind"), "models.one: kind must be one of"),
        (lambda p: p["experts"]["beta"].update(prompt="step-by-step"), "use it with prompt: direct"),
        (
            lambda p: p["experts"]["beta"].update(prompt="loud"),
            "Input should be 'step-by-step', 'direct' or 'next-token'",
        ),
        (lambda p: p["experts"].clear(), "experts: Dictionary should have at least 1 item"),
        (lambda p: p["experts"].update(coe={"model": "one"}), "experts.coe: this name is the route's own"),
        (lambda p: p.update(file_name="other"), "file_name: comes from where the file lies; remove it"),
        (lambda p: p["models"].update(t={"kind": "python", "target": "module.Class"}), "models.t.python.target"),
        (lambda p: p["models"].update(t={"kind": "python", "target": ".module:Class"}), "models.t.python.target"),
        (lambda p: p["models"].update(t={"kind": "api", "model": "m", "base_url": "ftp://x"}), "models.t.api.base_url"),
        (lambda p: p["models"].update(t=api("http://me@h/v1")), "base_url: no user, password, query or fragment"),
        (lambda p: p["models"].update(t=hosted(min_replicas=2)), "min_replicas must not be above max_replicas"),
        (lambda p: p["models"].update(t=hosted(target_ongoing_requests=99)), "must not be above max_ongoing_requests"),
        (lambda p: p["models"].update(t=hosted() | {"engine": {"tensor_parallel_size": "two"}}), "a whole number"),
        (lambda p: p["models"].update(t=hosted() | {"engine": {"pipeline_parallel_size": 0}}), "a whole number"),
    ],
)
def test_an_error_names_file_key_and_remedy(tmp_path: Path, change: Change, message: str) -> None:
    profile = content()
    change(profile)
    path = write_profile(tmp_path / "small.yaml", profile)
    with pytest.raises(ConfigError) as error:
        load_profile(path)
    assert message in str(error.value)
    assert str(error.value).startswith(f"{path}: ")


def hosted(**scaling: int) -> dict[str, Any]:
    return {"kind": "vllm", "weights": {"hub": "a/b"}, "scaling": scaling}


def api(base_url: str) -> dict[str, Any]:
    return {"kind": "api", "model": "m", "base_url": base_url}


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    path = write_profile(tmp_path / "small.yaml", {"tasks": ["opseval"], "experts": {}})
    with pytest.raises(ConfigError) as error:
        load_profile(path)
    assert [line.split(": ")[1] for line in str(error.value).splitlines()] == [
        "models",
        "experts",
        "classifier",
        "retrieval",
    ]


@pytest.mark.parametrize(
    "text",
    ["a: [", "tasks: 2020-13-45", "k: 0b_", "{", "\t- x", "'", "a: " + "[" * 5000, "a: " + "1" * 5000],
    ids=lambda text: text[:12],
)
def test_a_file_that_is_no_yaml_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"broken.yaml: not readable as YAML"):
        load_profile(path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not readable as YAML"):
        load_profile(path)


@pytest.mark.parametrize("whole", [None, [], "text", 3])
def test_a_profile_is_a_mapping(tmp_path: Path, whole: object) -> None:
    with pytest.raises(ConfigError, match="a profile is a mapping"):
        load_profile(write_profile(tmp_path / "small.yaml", whole))


def test_keys_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="keys must be text"):
        load_profile(write_profile(tmp_path / "small.yaml", {1: "one"}))


def test_no_such_profile_names_the_shipped_ones() -> None:
    with pytest.raises(ConfigError, match=r"no profile 'local-gpuu': give a YAML file or one of .*local-cpu"):
        load_profile("local-gpuu")


@pytest.mark.parametrize("key", ["key_env", "api_key", "key"])
def test_a_key_put_into_a_profile_does_not_come_out_in_the_error(tmp_path: Path, key: str) -> None:
    api = {"kind": "api", "base_url": "https://api.example.com/v1", "model": "m", key: SECRET}
    path = write_profile(tmp_path / "small.yaml", content(models={"one": api}))
    with pytest.raises(ConfigError, match=rf"models\.one\.api\.{key}: ") as error:
        load_profile(path)
    assert SECRET not in "".join(traceback.format_exception(error.value))


@pytest.mark.parametrize("key", ["sk-proj-1a2b", "abcdef0123456789", "0f9e8d7c", "GLM KEY", ""])
def test_what_cannot_be_the_name_of_a_key_is_refused_and_not_shown(tmp_path: Path, key: str) -> None:
    path = write_profile(
        tmp_path / "small.yaml", content(models={"one": api("https://api.example.com/v1") | {"key_env": key}})
    )
    with pytest.raises(ConfigError, match=r"key_env: the name of an environment variable in capitals") as error:
        load_profile(path)
    assert not key or key not in "".join(traceback.format_exception(error.value))


@pytest.mark.parametrize("url", [f"https://me:{SECRET}@h/v1", f"http://me:a/{SECRET}@h", f"http://h/v1?key={SECRET}"])
def test_a_key_in_an_address_is_refused_and_not_shown(tmp_path: Path, url: str) -> None:
    path = write_profile(tmp_path / "small.yaml", content(models={"one": api(url)}))
    with pytest.raises(ConfigError, match="key_env says where the key is") as error:
        load_profile(path)
    assert SECRET not in "".join(traceback.format_exception(error.value))


def test_a_profile_cannot_be_changed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        small_profile(tmp_path).classifier.k = 3


def test_a_replica_takes_a_bundle_for_each_of_its_workers(tmp_path: Path) -> None:
    model = hosted() | {"engine": {"tensor_parallel_size": 2, "pipeline_parallel_size": 3}, "bundle": {"GPU": 1}}
    profile = small_profile(tmp_path, models=content()["models"] | {"big": model})
    config = profile.models["big"]
    assert config.kind == "vllm"
    assert config.bundles == [{"GPU": 1.0}] * 6


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates() | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


def places(node: Any, so_far: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [so_far, *(place for key, value in inner for place in places(value, (*so_far, key)))]


def replaced(node: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    copy = dict(node) if isinstance(node, dict) else list(node)
    copy[place[0]] = replaced(node[place[0]], place[1:], value)
    return copy


@settings(max_examples=150)
@given(st.sampled_from(places(content(models=content()["models"] | {"big": hosted(min_replicas=1)}))), VALUES)
def test_any_value_anywhere_loads_or_is_a_config_error(place: tuple[Any, ...], value: Any) -> None:
    whole = replaced(content(models=content()["models"] | {"big": hosted(min_replicas=1)}), place, value)
    loads_or_is_refused(yaml.safe_dump(whole, allow_unicode=True))


@settings(max_examples=150)
@given(st.text() | st.text(alphabet="abk:- []{}&*!?|>'\"#%@\n\t0123._"))
def test_any_text_loads_or_is_a_config_error(text: str) -> None:
    loads_or_is_refused(text)


def loads_or_is_refused(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "any.yaml")
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            assert isinstance(load_profile(path), Profile)
        except ConfigError as error:
            assert str(path) in str(error)


def test_a_patch_changes_what_it_names_and_null_takes_away(tmp_path: Path) -> None:
    profile = small_profile(tmp_path)
    assert patch_profile(profile, {}) == profile
    new = patch_profile(profile, {"classifier": {"k": None}, "experts": {"beta": None, "gamma": {"model": "one"}}})
    assert list(new.experts) == ["alpha", "gamma"]
    assert (new.classifier.k, new.classifier.decoding) == (4, "free")
    assert new.file == profile.file


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"experts": {"beta": {"model": "nobody"}}}, r"experts\.beta\.model: no model 'nobody'"),
        ({"colour": "red"}, "colour: unknown key"),
        ({"tasks": None}, "tasks: missing"),
        ({"classifier": 5}, "classifier: "),
        ({"name": "other"}, "name: unknown key"),
    ],
)
def test_a_patch_that_makes_no_profile_is_refused(tmp_path: Path, patch: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        patch_profile(small_profile(tmp_path), patch)


def test_keys_are_asked_for_where_nothing_else_is_said(tmp_path: Path) -> None:
    assert small_profile(tmp_path).keys_file == home_folder() / "keys.json"
    assert small_profile(tmp_path, access={"keys": "own.json"}).keys_file == tmp_path / "own.json"
    assert small_profile(tmp_path, access={"keys": False}).keys_file is None


def studied(**study: Any) -> dict[str, Any]:
    """A study that needs a model of its own for a single and one for a classifier, and has two that nothing names."""
    models = content()["models"] | {"large": hosted(), "r1": hosted(), "v3": api("http://h/v1"), "spare": hosted()}
    singles = {"big": {"model": "large", "settings": {"max_tokens": 9}}}
    classifiers = {"first": {"model": "r1", "k": 0}, "second": {"model": "v3"}, "third": {"model": "sorter"}}
    return {"models": models, "study": {"singles": singles, "classifiers": classifiers} | study}


def test_without_a_study_there_is_nothing_but_what_is_served(tmp_path: Path) -> None:
    profile = small_profile(tmp_path)
    assert (profile.study.singles, profile.study.classifiers, profile.study.scenarios) == ({}, {}, {})
    assert profile.without_study == profile


def test_served_is_all_but_what_the_study_alone_needs(tmp_path: Path) -> None:
    profile = small_profile(tmp_path, **studied())
    assert list(profile.without_study.models) == ["sorter", "one", "two", "spare"]
    assert profile.without_study.study == profile.without_study.without_study.study == small_profile(tmp_path).study
    same = {"models": profile.models, "study": profile.study}
    assert profile.without_study.model_copy(update=same) == profile


def test_a_model_that_is_served_and_studied_is_served(tmp_path: Path) -> None:
    study = {"singles": {"big": {"model": "one"}}, "classifiers": {"first": {"model": "sorter"}}}
    profile = small_profile(tmp_path, study=study)
    assert profile.without_study.models == profile.models


def test_what_is_served_can_be_changed_while_it_runs(tmp_path: Path) -> None:
    served = small_profile(tmp_path, **studied()).without_study
    assert patch_profile(served, {}) == served
    assert patch_profile(served, {"experts": {"gamma": {"model": "spare"}}}).experts["gamma"].model == "spare"
    with pytest.raises(ConfigError, match=r"experts\.gamma\.model: no model 'large'"):
        patch_profile(served, {"experts": {"gamma": {"model": "large"}}})


def test_the_folder_of_runs_is_at_home_unless_the_environment_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COE_RAY_RUNS", raising=False)
    assert runs_folder() == home_folder() / "runs"
    monkeypatch.setenv("COE_RAY_RUNS", "~/mine")
    assert runs_folder() == Path.home() / "mine"
