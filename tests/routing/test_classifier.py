"""Classification: what the model is asked, what is read out of it, and that an outage is no label."""

import re
from typing import Any

import pytest

from coe_ray.core.chat_model import ScriptedModel, ScriptRule
from coe_ray.core.errors import CallError
from coe_ray.core.questions import make_question
from coe_ray.core.types import UNKNOWN, Classification, Neighbour, SamplingParams, Task
from coe_ray.profile.experts import ClassifierConfig
from coe_ray.routing.classifier import Classifier, neighbour_vote
from tests.support.planted import Listener

TASKS = (Task("Build", "compiling"), Task("Test", "checking"))
QUESTION = make_question("Which tool compiles?", ("make", "ping"))
NEIGHBOURS = (
    Neighbour("1", "one", "Build", 0.9, 0.5),
    Neighbour("2", "two", "Test", 0.8, 0.3),
    Neighbour("3", "three", "Build", 0.1, 0.2),
)


async def classified(model: Listener, neighbours: tuple[Neighbour, ...] = (), **config: Any) -> Classification:
    return await Classifier(model, ClassifierConfig(model="m", **config), TASKS).classify(QUESTION, neighbours)


async def test_the_label_is_kept_with_what_was_really_said() -> None:
    label = await classified(Listener("m", "**Task: [build]**"))
    assert (label.task, label.raw, label.rule) == ("Build", "**Task: [build]**", "**Task: …**")


async def test_a_label_outside_the_list_is_unknown_with_what_was_said() -> None:
    label = await classified(Listener("m", "**Task: [Networking]**"), NEIGHBOURS)
    assert (label.task, label.raw, label.confidence) == (UNKNOWN, "**Task: [Networking]**", 0.0)
    assert label.rule == "label outside the list"


async def test_confidence_is_the_weight_of_the_neighbours_that_carry_the_label() -> None:
    label = await classified(Listener("m", "Task: Build"), NEIGHBOURS)
    assert label.confidence == pytest.approx(0.7)
    assert label.neighbours == NEIGHBOURS


async def test_without_neighbours_there_is_no_confidence() -> None:
    assert (await classified(Listener("m", "Task: Build"))).confidence == 0.0


async def test_a_constrained_reply_is_one_of_the_tasks_or_unknown() -> None:
    model = Listener("m", "Test")
    assert (await classified(model)).task == "Test"
    assert model.calls[0].choices == ("**Task: Build**", "**Task: Test**", f"**Task: {UNKNOWN}**")


async def test_a_free_reply_has_no_choices() -> None:
    model = Listener("m", "Task: Test")
    await classified(model, decoding="free")
    assert model.calls[0].choices == ()


async def test_the_call_has_the_profiles_settings_the_question_and_the_shortened_examples() -> None:
    model = Listener("m", "Task: Test")
    long = (Neighbour("1", "x" * 99, "Build", 1.0, 1.0),)
    await classified(model, long, example_chars=50, settings=SamplingParams(max_tokens=7))
    (call,) = model.calls
    assert call.settings == SamplingParams(max_tokens=7)
    assert call.question == QUESTION
    assert "x" * 50 + " …" in call.messages[-1].content


async def test_an_outage_is_no_unknown() -> None:
    model = ScriptedModel("m", [ScriptRule(re.compile(""), "down", fails=True)])
    with pytest.raises(CallError, match="model 'm': down"):
        await Classifier(model, ClassifierConfig(model="m"), TASKS).classify(QUESTION, ())


def near(*tasks: str) -> tuple[Neighbour, ...]:
    """Neighbours that weigh the same."""
    return tuple(Neighbour(str(n), "text", task, 0.5, 1 / len(tasks)) for n, task in enumerate(tasks))


def test_neighbours_agree_on_the_task_that_weighs_most() -> None:
    vote = neighbour_vote(NEIGHBOURS, ["Build", "Test"])
    assert vote is not None
    assert (vote.task, vote.by, vote.raw) == ("Build", "neighbours", "")
    assert vote.confidence == pytest.approx(0.7)


def test_of_equals_the_nearest_decides() -> None:
    vote = neighbour_vote(near("Test", "Build"), ["Build", "Test"])
    assert vote is not None
    assert vote.task == "Test"


def test_a_task_outside_the_list_does_not_count() -> None:
    assert neighbour_vote(near("Elsewhere"), ["Build"]) is None
    assert neighbour_vote((), ["Build"]) is None
    vote = neighbour_vote(near("Elsewhere", "Elsewhere", "Build"), ["Build"])
    assert vote is not None
    assert vote.task == "Build"
    assert vote.confidence == pytest.approx(1 / 3)


@pytest.mark.parametrize("count", range(1, 12))
def test_neighbours_of_one_mind_reach_a_threshold_of_one(count: int) -> None:
    vote = neighbour_vote(near(*["Build"] * count), ["Build"])
    assert vote is not None
    assert vote.confidence == 1.0


async def test_without_neighbours_the_llm_is_asked_whatever_the_threshold() -> None:
    model = Listener("m", "Task: Test")
    assert (await classified(model, skip_llm_above=0.0)).by == "llm"
    assert (await classified(model, NEIGHBOURS, skip_llm_above=0.0)).by == "neighbours"
    assert len(model.calls) == 1
