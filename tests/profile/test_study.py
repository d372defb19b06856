"""What a profile lets `coe-ray reproduce` measure beside what is served: its values, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from coe_ray.core.errors import ConfigError
from coe_ray.core.types import SamplingParams
from coe_ray.profile.study import RESERVED, StudyConfig
from tests.support.profiles import small_profile


def study_of(**sections: Any) -> StudyConfig:
    return StudyConfig.model_validate(sections)


def test_nothing_is_studied_unless_the_profile_says_so() -> None:
    study = study_of()
    assert (study.singles, study.classifiers, study.transfer, study.scenarios) == ({}, {}, {}, {})


def test_singles_and_classifiers_are_configured_as_those_that_are_served() -> None:
    study = study_of(
        singles={"big": {"model": "large", "settings": {"max_tokens": 9}}},
        classifiers={"first": {"model": "r1", "k": 0}, "second": {"model": "v3"}},
        transfer={"Plan": "Build"},
    )
    assert study.singles["big"].settings == SamplingParams(max_tokens=9)
    assert [(each.model, each.k) for each in study.classifiers.values()] == [("r1", 0), ("v3", 4)]
    assert study.transfer == {"Plan": "Build"}


def test_a_scenario_is_any_patch_and_relabels_tasks() -> None:
    change = {"experts": {"alpha": None}, "classifier": {"k": 1}}
    scenario = study_of(scenarios={"s-1.b": {"change": change, "relabel": {"chinese/Python": "Code"}}}).scenarios
    assert scenario["s-1.b"].change == change
    assert scenario["s-1.b"].relabel == {"chinese/Python": "Code"}


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "two words", "-x", "s1\n"])
def test_a_scenario_has_a_name_that_a_folder_may_have(name: str) -> None:
    with pytest.raises(ValidationError, match="scenarios"):
        study_of(scenarios={name: {"change": {}}})


@given(st.text(max_size=12))
def test_no_scenario_leaves_its_folder(name: str) -> None:
    try:
        study = study_of(scenarios={name: {"change": {}}})
    except ValidationError:
        return
    assert list(study.scenarios) == [name]
    assert Path(name).name == name
    assert name not in ("", ".", "..")


@pytest.mark.parametrize("name", [*RESERVED, "bench-coe", "bench-coe 2", "mine without RAG", "mine @ s1"])
def test_a_classifier_may_not_be_called_as_other_labels_are(name: str) -> None:
    with pytest.raises(ValidationError, match="choose another name"):
        study_of(classifiers={"fine": {"model": "m"}, name: {"model": "m"}})


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ({"singles": {"big": {"model": "larg"}}}, r"study\.singles\.big\.model: no model 'larg'"),
        ({"classifiers": {"c": {"model": "r2"}}}, r"study\.classifiers\.c\.model: no model 'r2'"),
        ({"singles": {"alpha": {"model": "one"}}}, r"study\.singles\.alpha: is an expert, too; choose another name"),
        ({"singles": {"coe": {"model": "one"}}}, r"study\.singles\.coe: this name is the route's own"),
        ({"singles": {"auto": {"model": "one"}}}, r"study\.singles\.auto: this name is the route's own"),
        ({"singles": {"big": {"model": "one", "prompt": "step-by-step", "constrained": True}}}, "leaves no room"),
        ({"single": {}}, r"study\.single: unknown key"),
        ({"transfer": {"Plan": 5}}, r"study\.transfer\.Plan: Input should be a valid string"),
        ({"scenarios": {"less": {}}}, r"study\.scenarios\.less\.change: missing; add it"),
        ({"scenarios": {"less": {"change": {}, "relabels": {}}}}, r"study\.scenarios\.less\.relabels: unknown key"),
        ({"scenarios": {"less": {"change": ["experts"]}}}, r"study\.scenarios\.less\.change: "),
    ],
)
def test_an_error_in_a_study_names_its_key(tmp_path: Path, study: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small_profile(tmp_path, study=study)
