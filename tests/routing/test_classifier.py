"""Classification: what the model is asked, what is read out of it, and that an outage is no label."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from coe_ray.core.chat_model import ScriptedModel, ScriptRule, stream_completion
from coe_ray.core.errors import BadCredentials, CallError, ContentFiltered, ContextTooLong, RateLimited, ServerFault
from coe_ray.core.fail_fast import must_fail_fast
from coe_ray.core.questions import make_question
from coe_ray.core.types import UNKNOWN, Call, Classification, Completion, Delta, Neighbour, SamplingParams, Task
from coe_ray.profile.experts import ClassifierConfig
from coe_ray.routing.classifier import MIN_QUESTION_CHARS, Classifier, neighbour_vote
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


class Strained:
    """A model that takes `seconds`, and then fails, or reads no more than `context` characters."""

    name = "strained"

    def __init__(self, error: CallError | None = None, *, context: int = 10**9, seconds: float = 0.0) -> None:
        self.prompts: list[str] = []
        self.patient = 0
        self._error = error
        self._context = context
        self._seconds = seconds

    async def complete(self, call: Call) -> Completion:
        prompt = "\n".join(message.content for message in call.messages)
        self.prompts.append(prompt)
        self.patient += not must_fail_fast()
        await asyncio.sleep(self._seconds)
        if self._error is not None:
            raise self._error
        if len(prompt) > self._context:
            raise ContextTooLong(self.name, f"at most {self._context}")
        return Completion("**Task: Test**")

    def stream(self, call: Call) -> AsyncIterator[Delta]:
        return stream_completion(self, call)


def live(model: Strained, **config: Any) -> Classifier:
    return Classifier(model, ClassifierConfig(model="m", **config), TASKS)


class TestLive:
    @pytest.mark.parametrize(
        "error", [ServerFault, RateLimited, BadCredentials, ContentFiltered], ids=lambda e: e.__name__
    )
    async def test_where_the_llm_fails_the_neighbours_decide_and_the_error_is_named(
        self, error: type[CallError]
    ) -> None:
        label = await live(Strained(error("m", "no"))).classify_live(QUESTION, NEIGHBOURS)
        assert (label.task, label.by, label.fallback) == ("Build", "neighbours", error.__name__)
        assert label.confidence == pytest.approx(0.7)
        assert label.neighbours == NEIGHBOURS

    async def test_without_neighbours_too_the_question_is_routed_as_unknown(self) -> None:
        label = await live(Strained(ServerFault("m", "no"))).classify_live(QUESTION, ())
        assert (label.task, label.confidence, label.fallback) == (UNKNOWN, 0.0, "ServerFault")

    def test_a_slow_llm_is_waited_for_as_long_as_the_profile_says(self) -> None:
        async def asked(seconds: float) -> tuple[Classification, float]:
            model = Strained(seconds=seconds)
            return await live(model, live_timeout_s=3.0).classify_live(
                QUESTION, NEIGHBOURS
            ), asyncio.get_running_loop().time()

        label, took = run_virtually(asked(30.0))
        assert (label.by, label.fallback, took) == ("neighbours", "CallTimeout", 3.0)
        label, took = run_virtually(asked(2.0))
        assert (label.task, label.by, label.fallback, took) == ("Test", "llm", None, 2.0)

    async def test_a_live_call_is_not_tried_on_and_on(self) -> None:
        model = Strained()
        await live(model).classify_live(QUESTION, NEIGHBOURS)
        assert model.patient == 0
        await live(model).classify(QUESTION, NEIGHBOURS)
        assert model.patient == 1

    async def test_a_question_beyond_the_context_is_shortened_and_so_are_the_next_ones(self) -> None:
        log = replace(QUESTION, text="Which line matters?\n" + "disk sdb: retry\n" * 5000 + "the last line")
        model = Strained(context=2500)
        classifier = live(model)
        label = await classifier.classify_live(log, NEIGHBOURS)
        assert (label.task, label.by, label.fallback) == ("Test", "llm", None)
        assert [len(prompt) for prompt in model.prompts] == sorted(map(len, model.prompts), reverse=True)
        assert "Which line matters?" in model.prompts[-1]
        assert "the last line" in model.prompts[-1]
        before = len(model.prompts)
        assert before > 1
        await classifier.classify_live(log, NEIGHBOURS[:1])
        assert len(model.prompts) == before + 1

    async def test_a_context_too_short_for_any_question_is_a_failure_like_others(self) -> None:
        model = Strained(context=10)
        label = await live(model).classify_live(replace(QUESTION, text="disk " * 1000), NEIGHBOURS)
        assert (label.task, label.fallback) == ("Build", "ContextTooLong")
        assert len(model.prompts) <= 1 + (6000 // MIN_QUESTION_CHARS).bit_length()
