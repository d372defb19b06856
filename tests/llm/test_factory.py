"""Models out of a profile: each kind is made, and what cannot be made is said without giving a key away."""

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest

from coe_ray.core.chat_model import ChatModel, ScriptedModel
from coe_ray.core.errors import BadCredentials, ConfigError, DataError
from coe_ray.core.types import Completion
from coe_ray.experts.timeseries.expert import TimeSeriesExpert
from coe_ray.llm.factory import make_local_models
from coe_ray.llm.http import HttpModel
from coe_ray.llm.recordings import RecordedAnswers
from coe_ray.profile.profile import Profile
from coe_ray.ratelimit.limiter import LimiterRegistry
from tests.support.fault_server import Reply, answer, fault, running
from tests.support.model_under_test import CALL, until
from tests.support.profiles import content, small_profile

API = {"kind": "api", "base_url": "https://api.example.com/v1/", "model": "glm-4"}


def made(folder: Path, config: dict[str, Any]) -> ChatModel:
    return make_local_models(small_profile(folder, models=content()["models"] | {"made": config}))["made"]


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
    assert set(make_local_models(small_profile(tmp_path, models=content()["models"] | {"big": hosted}))) == {
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
    message = r"^profile 'small': models.made.key_env: environment variable GLM_KEY is not set; export the key there$"
    with pytest.raises(ConfigError, match=message):
        made(tmp_path, API | {"key_env": "GLM_KEY"})


def test_a_key_that_is_set_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLM_KEY", "sk-very-secret")
    model = made(tmp_path, API | {"key_env": "GLM_KEY"})
    assert "sk-very-secret" not in repr(model) + str(model) + repr(vars(model))


def api(folder: Path, base_url: str, **more: Any) -> Profile:
    return small_profile(folder, models=content()["models"] | {"made": API | {"base_url": base_url} | more})


async def test_calls_of_api_models_go_through_the_gates(tmp_path: Path) -> None:
    limiters = LimiterRegistry()
    async with running() as server:
        server.reset(Reply(delay_s=60))
        model = make_local_models(api(tmp_path, server.base_url, max_concurrency=2), limiters)["made"]
        calls = [asyncio.create_task(model.complete(CALL)) for _ in range(5)]
        await until(lambda: server.served == 2)
        assert (limiters.activity.in_flight, limiters.activity.waiting) == (2, 3)
        await given_up(model, *calls)


async def test_models_of_one_key_take_turns(tmp_path: Path) -> None:
    """A slow expert's calls, which came first, do not hold up the classifier's."""
    async with running() as server:
        server.reset(answer("B"))
        config = API | {"base_url": server.base_url, "max_concurrency": 1}
        extra = {name: config | {"model": name} for name in ("slow", "classifier")}
        models = make_local_models(small_profile(tmp_path, models=content()["models"] | extra))
        await asyncio.gather(*(models[name].complete(CALL) for name in ("slow", "slow", "slow", "classifier")))
        assert [body["model"] for body in server.bodies] == ["slow", "classifier", "slow", "slow"]
        for name in extra:
            await given_up(models[name])


@pytest.mark.parametrize(("rest_s", "served"), [(math.inf, 1), (0.0, 3)])
async def test_what_a_person_has_to_mend_is_left_alone_for_its_rest(tmp_path: Path, rest_s: float, served: int) -> None:
    async with running() as server:
        server.reset(fault(401, "no"))
        model = make_local_models(api(tmp_path, server.base_url), rest_s=rest_s)["made"]
        for _ in range(3):
            with pytest.raises(BadCredentials):
                await model.complete(CALL)
        await given_up(model)
        assert server.served == served


async def test_one_slow_try_does_not_use_up_all_patience(tmp_path: Path) -> None:
    async with running() as server:
        server.reset(Reply(delay_s=60), answer("B"))
        model = make_local_models(api(tmp_path, server.base_url, timeout_s=0.3))["made"]
        assert (await model.complete(CALL)).attempts == 2
        await given_up(model)


async def given_up(model: ChatModel, *calls: asyncio.Task[Completion]) -> None:
    for call in calls:
        call.cancel()
    if calls:
        await asyncio.wait(calls)
    assert isinstance(model, HttpModel)
    await model.close()


@pytest.mark.parametrize("target", ["coe_ray.nowhere:Class", "nowhere:Class", "coe_ray.core.chat_model:Nothing"])
def test_a_target_that_cannot_be_imported_is_a_config_error(tmp_path: Path, target: str) -> None:
    with pytest.raises(ConfigError, match=rf"models.made.target: '{target}' cannot be imported .*give module:Class"):
        made(tmp_path, {"kind": "python", "target": target})


def broken(name: str) -> ChatModel:
    raise AttributeError(f"{name} is broken")


def test_a_fault_within_the_experts_own_code_passes_untouched(tmp_path: Path) -> None:
    with pytest.raises(AttributeError, match="made is broken"):
        made(tmp_path, {"kind": "python", "target": "tests.llm.test_factory:broken"})


def test_a_pattern_that_is_no_regular_expression_is_a_config_error(tmp_path: Path) -> None:
    rules = [{"pattern": "(", "reply": "x"}]
    with pytest.raises(ConfigError, match=r"models.made.rules: pattern '\(' is no regular expression"):
        made(tmp_path, {"kind": "scripted", "rules": rules})


def test_recorded_answers_that_are_not_there_are_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"past.csv: cannot be read as recorded results"):
        made(tmp_path, {"kind": "recorded", "path": "past.csv"})
