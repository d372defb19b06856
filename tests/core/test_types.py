"""The vocabulary: settings laid over settings, letters of options, the margin of a route."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from coe_ray.core.types import Call, Classification, Message, Question, RankedExpert, Route, SamplingParams

SETTINGS = st.builds(
    SamplingParams,
    max_tokens=st.none() | st.integers(1, 9),
    temperature=st.none() | st.sampled_from([0.0, 1.0]),
    stop=st.lists(st.text(max_size=2), max_size=2).map(tuple),
    seed=st.none() | st.integers(0, 2),
)


@given(SETTINGS, SETTINGS)
def test_what_the_other_settings_give_wins_and_the_rest_stays(own: SamplingParams, other: SamplingParams) -> None:
    assert own.merge(other).set_values() == {**own.set_values(), **other.set_values()}


def test_zero_is_a_setting() -> None:
    assert SamplingParams(temperature=0.0, seed=0).set_values() == {"temperature": 0.0, "seed": 0}


@pytest.mark.parametrize(("stop", "kept"), [("END", ("END",)), (["a", "b"], ("a", "b")), (None, ()), ("", ())])
def test_stop_is_one_text_or_several(stop: object, kept: tuple[str, ...]) -> None:
    assert SamplingParams.model_validate({"stop": stop}).stop == kept


@pytest.mark.parametrize(
    "wrong",
    [{"max_tokens": 0}, {"temperature": 2.1}, {"top_p": 0}, {"seed": 2**63}, {"presence_penalty": -3}, {"unknown": 1}],
)
def test_what_no_model_takes_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SamplingParams.model_validate(wrong)


def test_a_call_in_openais_form() -> None:
    call = Call((Message("user", "Which?"),), SamplingParams(max_tokens=1), top_logprobs=20)
    assert call.body("gpt") == {
        "model": "gpt",
        "messages": [{"role": "user", "content": "Which?"}],
        "max_tokens": 1,
        "logprobs": True,
        "top_logprobs": 20,
    }


def test_options_are_lettered_in_order() -> None:
    question = Question("id", "Which?", ("red", "green"))
    assert question.letters == ("A", "B")
    assert question.full_text == "Which?\nA. red\nB. green"


def test_the_margin_is_the_lead_over_the_runner_up() -> None:
    said = Classification("Build", "rule", "raw", 1.0)
    route = Route("a", said, (RankedExpert("a", 0.75), RankedExpert("b", 0.5)), "best", "version")
    assert (route.runner_up, route.margin) == (RankedExpert("b", 0.5), 0.25)


def test_a_route_without_a_rival_has_no_margin() -> None:
    route = Route("a", Classification("Build", "rule", "raw", 1.0), (RankedExpert("a", 0.75),), "best", "version")
    assert (route.runner_up, route.margin) == (None, 0.0)
