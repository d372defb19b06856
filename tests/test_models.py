"""Models out of a profile: each kind is made, and what cannot be made is said without giving a key away."""

from pathlib import Path
from typing import Any

import pytest

from coe_ray.calls.http import HttpModel
from coe_ray.chat import ChatModel, ScriptedModel
from coe_ray.errors import ConfigError, DataError
from coe_ray.experts.recorded import RecordedAnswers
from coe_ray.experts.timeseries import TimeSeriesExpert
from coe_ray.models import local_models
from tests.planted import content, small_profile

API = {"kind": "api", "base_url": "https://api.example.com/v1/", "model": "glm-4"}


def made(folder: Path, config: dict[str, Any]) -> ChatModel:
    return local_models(small_profile(folder, models=content()["models"] | {"made": config}))["made"]


def test_each_kind_is_made_under_the_profiles_name(tmp_path: Path) -> None:
    (tmp_path / "past.csv").write_text("question,answer\nq1,A\n")
    models: list[tuple[dict[str, Any], type]] = [
        (API, HttpModel),
        ({"kind": "python", "target": "coe_ray.experts.timeseries:TimeSeriesExpert"}, TimeSeriesExpert),
        ({"kind": "recorded", "path": "past.csv"}, RecordedAnswers),
        ({"kind": "scripted", "rules": [{"pattern": ".", "reply": "x"}]}, ScriptedModel),
    ]
    for config, kind in models:
        model = made(tmp_path, config)
        assert type(model) is kind
        assert model.name == "made"


def test_hosted_models_are_made_elsewhere(tmp_path: Path) -> None:
    hosted = {"kind": "vllm", "weights": {"hub": "a/b"}}
    assert set(local_models(small_profile(tmp_path, models=content()["models"] | {"big": hosted}))) == {
        "sorter",
        "one",
        "two",
    }


@pytest.mark.parametrize("value", [None, ""])
def test_a_key_that_is_not_set_is_said_by_the_name_of_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("GLM_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("GLM_KEY", value)
    said = r"^profile 'small': models.made.key_env: environment variable GLM_KEY is not set; export the key there$"
    with pytest.raises(ConfigError, match=said):
        made(tmp_path, API | {"key_env": "GLM_KEY"})


def test_a_key_that_is_set_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLM_KEY", "sk-very-secret")
    model = made(tmp_path, API | {"key_env": "GLM_KEY"})
    assert "sk-very-secret" not in repr(model) + str(model) + repr(vars(model))


@pytest.mark.parametrize("target", ["coe_ray.nowhere:Class", "nowhere:Class", "coe_ray.chat:Nothing"])
def test_a_target_that_cannot_be_imported_is_a_config_error(tmp_path: Path, target: str) -> None:
    with pytest.raises(ConfigError, match=rf"models.made.target: '{target}' cannot be imported .*give module:Class"):
        made(tmp_path, {"kind": "python", "target": target})


def broken(name: str) -> ChatModel:
    raise AttributeError(f"{name} is broken")


def test_a_fault_within_the_experts_own_code_passes_untouched(tmp_path: Path) -> None:
    with pytest.raises(AttributeError, match="made is broken"):
        made(tmp_path, {"kind": "python", "target": "tests.test_models:broken"})


def test_a_pattern_that_is_no_regular_expression_is_a_config_error(tmp_path: Path) -> None:
    rules = [{"pattern": "(", "reply": "x"}]
    with pytest.raises(ConfigError, match=r"models.made.rules: pattern '\(' is no regular expression"):
        made(tmp_path, {"kind": "scripted", "rules": rules})


def test_recorded_answers_that_are_not_there_are_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"past.csv: cannot be read as recorded answers"):
        made(tmp_path, {"kind": "recorded", "path": "past.csv"})
