"""The vocabulary: settings laid over settings, letters of options, the margin of a route."""

from hypothesis import given
from hypothesis import strategies as st

from coe_ray.core.types import Classification, Question, RankedExpert, Route, SamplingParams

SETTINGS = st.builds(
    SamplingParams,
    max_tokens=st.none() | st.integers(1, 9),
    temperature=st.none() | st.sampled_from([0.0, 1.0]),
    stop=st.lists(st.text(max_size=2), max_size=2).map(tuple),
    seed=st.none() | st.integers(0, 2),
)


@given(SETTINGS, SETTINGS)
def test_what_the_other_settings_give_wins_and_the_rest_stays(own: SamplingParams, other: SamplingParams) -> None:
    assert own.overridden(other).given() == {**own.given(), **other.given()}


def test_zero_is_a_setting() -> None:
    assert SamplingParams(temperature=0.0, seed=0).given() == {"temperature": 0.0, "seed": 0}


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
