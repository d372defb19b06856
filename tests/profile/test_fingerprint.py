"""What tells models apart in a journal: what they say, never what a profile calls them, never a key."""

import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from coe_ray.profile.fingerprint import fields_read, model_fingerprint
from coe_ray.profile.models import ApiModel, PythonModel, RecordedModel, VllmModel, Weights
from coe_ray.profile.profile import Profile, load_profile

PROFILE = load_profile("local-cpu")
API: dict[str, Any] = {"kind": "api", "base_url": "https://host.example/v1", "model": "m"}


def api(**changes: Any) -> dict[str, Any]:
    return model_fingerprint(ApiModel(**{**API, **changes}), PROFILE)


def test_how_an_endpoint_is_asked_is_no_part_of_what_it_is() -> None:
    same: list[dict[str, Any]] = [
        {"max_concurrency": 3},
        {"attempts": 1},
        {"timeout_s": 1.0},
        {"key_env": "KEY"},
        {"requests_per_minute": 9},
        {"price": {"input": 1, "output": 2}},
        {"base_url": "https://host.example/v1/"},
    ]
    assert all(api(**changes) == api() for changes in same)


@pytest.mark.parametrize(
    "changes",
    [
        {"base_url": "https://other.example/v1"},
        {"model": "n"},
        {"revision": "2"},
        {"parameters": {"temperature": None}},
        {"parameters": {"max_tokens": "max_completion_tokens"}},
    ],
)
def test_url_name_revision_and_parameters_make_another_model(changes: dict[str, Any]) -> None:
    assert api(**changes) != api()


def test_without_parameters_an_endpoint_is_what_it_was_in_older_journals() -> None:
    assert api(parameters={}) == api()
    assert "parameters" not in api()


def test_weights_and_engine_make_another_hosted_model() -> None:
    models = [
        VllmModel(kind="vllm", weights=Weights(hub="a/b", revision=revision), engine=engine)
        for revision in (None, "1")
        for engine in ({}, {"quantization": "awq"})
    ]
    assert len({orjson.dumps(model_fingerprint(model, PROFILE)) for model in models}) == 4
    moved = models[0].model_copy(update={"bundle": {"CPU": 1.0}})
    assert model_fingerprint(moved, PROFILE) == model_fingerprint(models[0], PROFILE)


def test_a_python_experts_code_makes_another_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "own_experts"
    package.mkdir()
    for name in ("__init__", "expert", "part"):
        (package / f"{name}.py").write_text("", "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    model = PythonModel(kind="python", target="own_experts.expert:Expert")
    before = model_fingerprint(model, PROFILE)
    assert model_fingerprint(model, PROFILE) == before
    (package / "part.py").write_text("LIMIT = 2", "utf-8")
    assert model_fingerprint(model, PROFILE) != before
    for name in ("own_experts", "own_experts.expert"):
        sys.modules.pop(name, None)


def test_a_table_is_what_stands_in_it(tmp_path: Path) -> None:
    for name, text in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / name).write_text(text, "utf-8")
    a, b, c = (model_fingerprint(RecordedModel(kind="recorded", path=str(tmp_path / name)), PROFILE) for name in "abc")
    assert a == b != c


@pytest.mark.parametrize("profile", [PROFILE, load_profile("api"), load_profile("gpu")])
def test_every_shipped_model_has_an_identity_of_its_own(profile: Profile) -> None:
    identities = [orjson.dumps(model_fingerprint(model, profile)) for model in profile.models.values()]
    assert len(set(identities)) == len(identities)


def test_what_a_model_is_sent_beside_the_prompt() -> None:
    assert fields_read(ApiModel(**API)) == set()
    assert fields_read(VllmModel(kind="vllm", weights=Weights(hub="a/b"))) == {"choices"}
    assert fields_read(PythonModel(kind="python", target="a:B")) == {"choices", "question"}
