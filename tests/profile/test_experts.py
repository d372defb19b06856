"""Experts and classifiers of a profile: their defaults, their bounds, and combinations that make no sense."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from coe_ray.core.types import SamplingParams
from coe_ray.profile.experts import ClassifierConfig, ExpertConfig


def expert(**changes: Any) -> ExpertConfig:
    return ExpertConfig.model_validate({"model": "m"} | changes)


def classifier(**changes: Any) -> ClassifierConfig:
    return ClassifierConfig.model_validate({"model": "m"} | changes)


def test_experts_and_classifiers_are_deterministic_unless_the_profile_says_otherwise() -> None:
    assert expert().settings == SamplingParams(temperature=0.0)
    assert classifier().settings == SamplingParams(temperature=0.0, max_tokens=512)
    assert expert(settings={"temperature": 0.7, "seed": 1}).settings == SamplingParams(temperature=0.7, seed=1)


def test_an_expert_reasons_freely_and_a_classifier_is_constrained_by_default() -> None:
    assert (expert().prompt, expert().constrained, expert().instruction) == ("step-by-step", False, None)
    assert (classifier().decoding, classifier().k, classifier().skip_llm_above) == ("constrained", 4, None)


@pytest.mark.parametrize(("style", "constrained"), [("next-token", True), ("next-token", False), ("direct", True)])
def test_a_style_without_reasoning_may_be_constrained(style: str, *, constrained: bool) -> None:
    made = expert(prompt=style, constrained=constrained)
    assert (made.prompt, made.constrained) == (style, constrained)


@pytest.mark.parametrize("changes", [{"constrained": True}, {"prompt": "step-by-step", "constrained": True}])
def test_reasoning_cannot_be_constrained(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="constrained leaves no room to reason: use it with prompt: direct"):
        expert(**changes)


def test_an_instruction_is_kept_but_not_an_empty_one() -> None:
    for make in (expert, classifier):
        assert make(instruction="Be brief.").instruction == "Be brief."
        with pytest.raises(ValidationError, match="instruction"):
            make(instruction="")


@given(st.floats() | st.integers(-3, 3))
def test_a_confidence_to_skip_the_llm_lies_between_0_and_1(confidence: float) -> None:
    try:
        assert classifier(skip_llm_above=confidence).skip_llm_above == confidence
    except ValidationError:
        assert not 0 <= confidence <= 1
    else:
        assert 0 <= confidence <= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": -1}, "greater than or equal to 0"),
        ({"k": 65}, "less than or equal to 64"),
        ({"k": 1.5}, "valid integer"),
        ({"live_timeout_s": 0}, "greater than 0"),
        ({"example_chars": 49}, "greater than or equal to 50"),
        ({"decoding": "loose"}, "'free' or 'constrained'"),
        ({"top_k": 1}, "Extra inputs are not permitted"),
        ({"model": None}, "valid string"),
    ],
)
def test_a_classifier_out_of_bounds_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        classifier(**changes)


def test_an_expert_reads_what_its_model_can_unless_the_profile_says_otherwise() -> None:
    assert (expert().reads, expert().context_tokens) == (None, None)
    made = expert(reads=["choice", "tools"], context_tokens=8192)
    assert (made.reads, made.context_tokens) == (("choice", "tools"), 8192)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reads": []}, "at least 1 item"),
        ({"reads": ["poetry"]}, "'choice', 'text', 'tools', 'images' or 'json'"),
        ({"reads": "text"}, "valid tuple"),
        ({"context_tokens": 0}, "greater than or equal to 1"),
    ],
)
def test_an_expert_that_reads_nothing_or_what_nobody_knows_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        expert(**changes)


@pytest.mark.parametrize(("own", "free"), [(None, None), (1, 1024), (1024, 1024), (2048, 2048)])
def test_free_text_has_room_and_keeps_every_other_setting(own: int | None, free: int | None) -> None:
    settings = SamplingParams(temperature=0.3, max_tokens=own)
    made = expert(settings=settings.set_values())
    assert made.free_text_settings == SamplingParams(temperature=0.3, max_tokens=free)
    assert made.settings == settings


def test_a_live_question_waits_three_seconds_for_the_classifier_by_default() -> None:
    assert classifier().live_timeout_s == 3.0
    assert classifier(live_timeout_s=20).live_timeout_s == 20.0


def test_neither_can_be_changed_once_made() -> None:
    for made in (expert(), classifier()):
        with pytest.raises(ValidationError, match="frozen"):
            made.model = "other"
