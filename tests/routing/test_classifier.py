"""Classification: what the model is asked, what is read out of it, and that an outage is no label."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from coe_ray.core.chat_model import ScriptedModel, ScriptRule, stream_completion
from coe_ray.core.errors import CallError, ContentFiltered, ContextTooLong
from coe_ray.core.fail_fast import must_fail_fast
from coe_ray.core.questions import make_question
from coe_ray.core.types import (
    UNKNOWN,
    Call,
    Classification,
    Completion,
    Delta,
    Neighbour,
    SamplingParams,
    Task,
)
from coe_ray.profile.experts import ClassifierConfig
from coe_ray.routing.classifier import MIN_QUESTION_CHARS, Classifier, neighbour_vote
from coe_ray.routing.conversation import QUESTION_CHARS
from tests.support.planted import Listener
from tests.support.virtual_time import run_virtually

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


class NarrowModel:
    """A model whose context ends after so many characters; remembers the lengths and modes of its calls."""

    name = "m"

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.lengths: list[int] = []
        self.fast: list[bool] = []

    async def complete(self, call: Call) -> Completion:
        self.lengths.append(len(call.messages[-1].content))
        self.fast.append(must_fail_fast())
        if self.lengths[-1] > self.limit:
            raise ContextTooLong(self.name, "too long", status=400)
        return Completion("Task: Test")

    def stream(self, call: Call) -> AsyncIterator[Delta]:
        return stream_completion(self, call)


def live(model: ScriptedModel | NarrowModel | Listener, **config: Any) -> Classifier:
    return Classifier(model, ClassifierConfig(model="m", **config), TASKS)


DOWN = ScriptedModel("m", [ScriptRule(re.compile(""), "down", fails=True)])


async def test_a_live_question_is_labelled_by_the_llm_which_is_not_waited_for_where_it_is_full() -> None:
    model = NarrowModel(10_000)
    said = await live(model).classify_live(QUESTION, NEIGHBOURS)
    assert (said.task, said.by, said.fallback, model.fast) == ("Test", "llm", None, [True])
    await live(model).classify(QUESTION, NEIGHBOURS)
    assert model.fast == [True, False]


async def test_where_the_llm_fails_the_neighbours_label_a_live_question() -> None:
    said = await live(DOWN).classify_live(QUESTION, NEIGHBOURS)
    assert (said.task, said.by, said.fallback) == ("Build", "neighbours", "ServerFault")
    assert (said.raw, said.rule, said.neighbours) == ("", "the classifier did not answer", NEIGHBOURS)
    assert said.confidence == pytest.approx(0.7)


@pytest.mark.parametrize("neighbours", [(), (Neighbour("1", "one", "Elsewhere", 0.9, 1.0),)])
async def test_where_nobody_can_label_it_a_live_question_is_unknown_and_says_why(
    neighbours: tuple[Neighbour, ...],
) -> None:
    said = await live(DOWN).classify_live(QUESTION, neighbours)
    assert (said.task, said.by, said.fallback, said.confidence) == (UNKNOWN, "neighbours", "ServerFault", 0.0)
    assert said.neighbours == neighbours


async def test_a_filter_does_not_stop_a_live_question_either() -> None:
    class Filtering(NarrowModel):
        async def complete(self, call: Call) -> Completion:
            raise ContentFiltered(self.name, "no", status=400)

    assert (await live(Filtering(0)).classify_live(QUESTION, NEIGHBOURS)).fallback == "ContentFiltered"


@pytest.mark.parametrize(("config", "waited"), [({}, 3.0), ({"live_timeout_s": 20.0}, 20.0)])
def test_a_slow_llm_is_waited_for_as_long_as_the_profile_says(config: dict[str, Any], waited: float) -> None:
    slow = ScriptedModel("m", [ScriptRule(re.compile(""), "Task: Test")], delay_s=1000.0)

    async def classified() -> tuple[Classification, float]:
        return await live(slow, **config).classify_live(QUESTION, NEIGHBOURS), asyncio.get_running_loop().time()

    said, took = run_virtually(classified())
    assert (said.task, said.by, said.fallback, took) == ("Build", "neighbours", "CallTimeout", waited)
    # A job waits as long as it takes.
    assert run_virtually(live(slow).classify(QUESTION, NEIGHBOURS)).task == "Test"


async def test_a_question_that_is_too_long_is_shortened_and_so_are_the_next_ones() -> None:
    model = NarrowModel(2500)
    classifier = live(model, k=0)
    long = make_question("Why? " + "x" * 50_000)
    said = await classifier.classify_live(long, ())
    assert (said.task, said.by, said.fallback) == ("Test", "llm", None)
    assert model.lengths[0] < QUESTION_CHARS + 500
    assert model.lengths == sorted(model.lengths, reverse=True)
    tried = len(model.lengths)
    assert tried == 3  # 6000, 3000, 1500 characters
    assert (await classifier.classify_live(long, ())).task == "Test"
    assert len(model.lengths) == tried + 1


async def test_neighbours_are_left_out_where_the_prompt_is_too_long() -> None:
    model = NarrowModel(1000)
    far = tuple(Neighbour(str(n), "y" * 1000, "Build", 0.5, 0.25) for n in range(4))
    said = await live(model).classify_live(QUESTION, far)
    assert (said.task, said.by, said.neighbours) == ("Test", "llm", ())


async def test_what_is_never_short_enough_is_labelled_by_its_neighbours() -> None:
    model = NarrowModel(10)
    said = await live(model).classify_live(QUESTION, NEIGHBOURS)
    assert (said.task, said.by, said.fallback) == ("Build", "neighbours", "ContextTooLong")
    assert len(model.lengths) <= 2 + QUESTION_CHARS // MIN_QUESTION_CHARS


async def test_a_question_with_options_that_are_too_long_shortens_no_other() -> None:
    model = NarrowModel(QUESTION_CHARS + 2_000)
    classifier = live(model)
    said = await classifier.classify_live(make_question("Which?", ("x" * 10_000, "y")), ())
    assert said.fallback == "ContextTooLong"
    model.lengths.clear()
    assert (await classifier.classify_live(make_question("x" * 20_000), ())).fallback is None
    assert model.lengths[0] > QUESTION_CHARS


async def test_a_job_shortens_nothing() -> None:
    model = NarrowModel(10_000)
    with pytest.raises(ContextTooLong):
        await live(model).classify(make_question("x" * 20_000), ())
    assert model.lengths[0] > 20_000
