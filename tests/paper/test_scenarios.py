"""Scenarios: the profile after a change, asked beside it; and what cannot change without a restart is refused."""

from pathlib import Path
from typing import Any

import pytest

from coe_ray.core.errors import ConfigError
from coe_ray.core.questions import make_question
from coe_ray.core.types import Question
from coe_ray.paper.scenarios import ResolvedScenario, all_experts, all_models, resolve_scenarios
from coe_ray.profile.profile import Profile
from tests.support.profiles import content, small_profile

HOSTED: dict[str, Any] = {"kind": "vllm", "weights": {"hub": "a/b"}}
API: dict[str, Any] = {"kind": "api", "base_url": "http://h/v1", "model": "m"}
SCRIPTED = content()["models"]["one"]


def task(name: str) -> dict[str, str]:
    return {"name": name, "description": f"about {name}"}


def profile_with(folder: Path, *scenarios: dict[str, Any], **changes: Any) -> Profile:
    named = {f"s{number}": scenario for number, scenario in enumerate(scenarios)}
    study = {"singles": {"large": {"model": "one", "prompt": "direct"}}, "scenarios": named}
    return small_profile(folder, study=study, **changes)


def changed(folder: Path, change: dict[str, Any], relabel: dict[str, str] | None = None) -> ResolvedScenario:
    (found,) = resolve_scenarios(profile_with(folder, {"change": change, "relabel": relabel or {}}))
    return found


def refusal(folder: Path, *scenarios: dict[str, Any], **changes: Any) -> str:
    with pytest.raises(ConfigError) as error:
        resolve_scenarios(profile_with(folder, *scenarios, **changes))
    return str(error.value)


def question(of: str | None, category: str | None = None) -> Question:
    return make_question("Which?", ("p", "q"), "A", of, category=category)


def tasks(found: ResolvedScenario) -> list[str]:
    return [each.name for each in found.profile.task_list]


def test_a_profile_without_scenarios_has_none(tmp_path: Path) -> None:
    assert resolve_scenarios(small_profile(tmp_path)) == ()


def test_a_task_is_added(tmp_path: Path) -> None:
    added = [*content()["tasks"], task("Deploy")]
    found = changed(tmp_path, {"tasks": added})
    assert tasks(found) == ["Build", "Integration Test", "Deploy"]
    assert found.experts == {"alpha": "alpha", "beta": "beta"}
    for of in ("Build", "Deploy", "Elsewhere", None):
        assert found.relabelled(question(of)) == question(of)


def test_a_task_is_renamed(tmp_path: Path) -> None:
    found = changed(tmp_path, {"tasks": [task("Compile"), task("Integration Test")]}, {"Build": "Compile"})
    assert found.relabelled(question("Build")) == question("Compile")
    assert found.relabelled(question("Integration Test")).task == "Integration Test"


def test_a_task_is_split_by_category(tmp_path: Path) -> None:
    split = [task("Versions"), task("Dependencies"), task("Integration Test")]
    relabel = {"english/VersionControl": "Versions", "english/Dependency": "Dependencies"}
    found = changed(tmp_path, {"tasks": split}, relabel)
    assert found.relabelled(question("Build", "english/VersionControl")).task == "Versions"
    assert found.relabelled(question("Build", "english/Dependency")).task == "Dependencies"
    # What is named nowhere keeps a task that is not listed any more: it is left out.
    assert found.relabelled(question("Build", "chinese/Dependency")).task == "Build"
    assert "Build" not in tasks(found)


def test_a_category_outweighs_the_former_task(tmp_path: Path) -> None:
    relabel = {"Build": "Other", "english/Dependency": "Dependencies"}
    found = changed(tmp_path, {"tasks": [task("Dependencies"), task("Other")]}, relabel)
    assert found.relabelled(question("Build", "english/Dependency")).task == "Dependencies"
    assert found.relabelled(question("Build", "english/Rest")).task == "Other"
    assert found.relabelled(question("Build")).task == "Other"


def test_tasks_are_merged(tmp_path: Path) -> None:
    found = changed(tmp_path, {"tasks": [task("All")]}, {"Build": "All", "Integration Test": "All"})
    assert [found.relabelled(question(of)).task for of in ("Build", "Integration Test")] == ["All", "All"]


def test_only_the_task_of_a_question_changes(tmp_path: Path) -> None:
    found = changed(tmp_path, {"tasks": [task("Compile")]}, {"Build": "Compile"})
    before = question("Build", "english/Dependency")
    after = found.relabelled(before)
    assert (after.id, after.text, after.options, after.answer, after.category) == (
        before.id,
        before.text,
        before.options,
        before.answer,
        before.category,
    )


def test_a_new_task_set_by_its_name(tmp_path: Path) -> None:
    assert tasks(changed(tmp_path, {"tasks": ["opseval"]})) == [
        "5G Communication",
        "Log Analysis",
        "Oracle Database",
        "Wired Network",
    ]


def test_an_expert_is_taken_away(tmp_path: Path) -> None:
    found = changed(tmp_path, {"experts": {"beta": None}, "models": {"two": None}})
    assert found.experts == {"alpha": "alpha"}
    assert list(found.profile.models) == ["sorter", "one"]


def test_an_expert_is_added_on_a_model_of_the_profile(tmp_path: Path) -> None:
    found = changed(tmp_path, {"experts": {"gamma": {"model": "one", "prompt": "direct"}}})
    assert found.experts == {"alpha": "alpha", "beta": "beta", "gamma": "gamma"}


def test_an_expert_that_is_swapped_is_asked_under_a_name_of_its_own(tmp_path: Path) -> None:
    found = changed(tmp_path, {"experts": {"alpha": {"model": "two"}}})
    assert found.experts == {"alpha": "alpha @ s0", "beta": "beta"}
    profile = profile_with(tmp_path, {"change": {"experts": {"alpha": {"model": "two"}}}})
    experts = all_experts(profile, resolve_scenarios(profile))
    assert {name: each.model for name, each in experts.items()} == {
        "alpha": "one",
        "beta": "two",
        "large": "one",
        "alpha @ s0": "two",
    }


def test_a_single_model_that_becomes_an_expert_is_not_asked_twice(tmp_path: Path) -> None:
    same = {"model": "one", "prompt": "direct"}
    profile = profile_with(tmp_path, {"change": {"experts": {"large": same}, "study": None}})
    with pytest.raises(ConfigError, match="study cannot change"):
        resolve_scenarios(profile)
    # A name is one thing: it is a single model already.
    assert "study.singles.large: is an expert, too" in refusal(tmp_path, {"change": {"experts": {"large": same}}})


def test_an_expert_on_a_new_model_is_asked_and_its_model_is_among_all(tmp_path: Path) -> None:
    change = {"models": {"new": SCRIPTED}, "experts": {"gamma": {"model": "new"}}}
    profile = profile_with(tmp_path, {"change": change})
    scenarios = resolve_scenarios(profile)
    assert list(all_models(profile, scenarios)) == ["sorter", "one", "two", "new"]
    assert list(all_experts(profile, scenarios)) == ["alpha", "beta", "large", "gamma"]


def test_of_everybody_nobody_is_lost_and_what_a_scenario_takes_away_is_still_asked(tmp_path: Path) -> None:
    profile = profile_with(tmp_path, {"change": {"experts": {"beta": None}, "models": {"two": None}}})
    without = profile_with(tmp_path)
    assert all_experts(profile, resolve_scenarios(profile)) == all_experts(without, ())
    assert all_models(profile, resolve_scenarios(profile)) == profile.models


def test_one_name_in_two_scenarios_with_two_meanings_is_two_experts(tmp_path: Path) -> None:
    first = {"change": {"experts": {"gamma": {"model": "one", "prompt": "direct"}}}}
    second = {"change": {"experts": {"gamma": {"model": "two", "prompt": "direct"}}}}
    profile = profile_with(tmp_path, first, second, first)
    scenarios = resolve_scenarios(profile)
    assert [each.experts["gamma"] for each in scenarios] == ["gamma", "gamma @ s1", "gamma"]
    experts = all_experts(profile, scenarios)
    assert (experts["gamma"].model, experts["gamma @ s1"].model) == ("one", "two")
    for each in scenarios:
        for name, config in each.profile.experts.items():
            assert experts[each.experts[name]] == config


def test_one_model_name_in_two_scenarios_means_one_model(tmp_path: Path) -> None:
    first = {"change": {"models": {"new": SCRIPTED}, "experts": {"gamma": {"model": "new"}}}}
    second = {"change": {"models": {"new": API}, "experts": {"delta": {"model": "new"}}}}
    assert len(resolve_scenarios(profile_with(tmp_path, first, first))) == 2
    assert "study.scenarios.s1: models.new is another model elsewhere" in refusal(tmp_path, first, second)


def test_a_hosted_model_of_the_profile_may_be_used_and_named_again(tmp_path: Path) -> None:
    models = content()["models"] | {"big": HOSTED}
    change = {"models": {"big": HOSTED}, "experts": {"gamma": {"model": "big"}}}
    (found,) = resolve_scenarios(profile_with(tmp_path, {"change": change}, models=models))
    assert found.profile.experts["gamma"].model == "big"


@pytest.mark.parametrize(
    ("scenario", "message"),
    [
        ({"change": {"models": {"big": HOSTED}}}, "models.big is of kind vllm; put it into the profile's own models"),
        ({"change": {"models": {"one": API | {"rules": None}}}}, "models.one is another model elsewhere"),
        ({"change": {"models": {"one": {"delay_s": 9}}}}, "models.one is another model elsewhere"),
        ({"change": {"retrieval": {"index": "i"}}}, "retrieval cannot change in a scenario, only tasks, models and"),
        ({"change": {"routing": {}, "access": {}}}, "access cannot change in a scenario"),
        ({"change": {"study": {}}}, "study cannot change in a scenario"),
        ({"change": {"extends": "gpu"}}, "extends cannot change in a scenario"),
        ({"change": {}, "relabel": {"Build": "Compile"}}, "relabel names 'Compile', which is not among its tasks"),
        ({"change": {"experts": {"gamma": {"model": "nobody"}}}}, "experts.gamma.model: no model 'nobody'"),
        ({"change": {"experts": {"alpha": None, "beta": None}}}, "experts: Dictionary should have at least 1 item"),
        ({"change": {"tasks": []}}, "tasks: "),
        ({"change": {"models": {"one": None}}}, "experts.alpha.model: no model 'one'"),
    ],
)
def test_what_cannot_be_or_would_restart_an_engine_is_refused(
    tmp_path: Path, scenario: dict[str, Any], message: str
) -> None:
    refused = refusal(tmp_path, scenario)
    assert refused.startswith("profile 'small': study.scenarios.s0: ")
    assert message in refused


def test_a_changed_engine_is_refused(tmp_path: Path) -> None:
    models = content()["models"] | {"big": HOSTED}
    scenario = {"change": {"models": {"big": {"engine": {"max_model_len": 4096}}}}}
    assert "study.scenarios.s0: models.big is of kind vllm" in refusal(tmp_path, scenario, models=models)


def test_the_scenario_is_named_that_cannot_be(tmp_path: Path) -> None:
    fine = {"change": {"experts": {"beta": None}}}
    message = refusal(tmp_path, fine, {"change": {"access": {"keys": False}}})
    assert message.startswith("profile 'small': study.scenarios.s1: ")
