"""The whole online flow with scripted models: classified, routed, answered, or failed by name."""

import math
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coe_ray.core.abilities import ALL_ABILITIES
from coe_ray.core.chat_model import ChatModel, stream_completion
from coe_ray.core.errors import BadCall, CallError, CallTimeout, ConfigError, DataError
from coe_ray.core.questions import make_question
from coe_ray.core.types import UNKNOWN, Call, Completion, Delta, Message, Neighbour, Question, SamplingParams
from coe_ray.experts.timeseries.expert import TimeSeriesExpert
from coe_ray.llm.factory import make_local_models
from coe_ray.profile.experts import ExpertConfig
from coe_ray.routing.leaderboard import Leaderboard
from coe_ray.routing.pipeline import (
    CompositionOfExperts,
    Expert,
    Shots,
    check_leaderboard,
    load_leaderboard,
)
from tests.support.planted import BOARD, Listener, Shelf
from tests.support.profiles import content, small_profile

BUILD = "Which tool is there to compile?\nA. make\nB. ping"
QUESTION = make_question("Which tool is there to compile?", ("make", "ping"))
NEAR = Neighbour("1", "one", "Build", 0.9, 0.6)


def composed(
    folder: Path, listeners: dict[str, ChatModel] | None = None, board: Leaderboard | None = BOARD, **changes: Any
) -> CompositionOfExperts:
    profile = small_profile(folder, **changes)
    shelf = Shelf(NEAR, Neighbour("2", "two", "Integration Test", 0.5, 0.4))
    return CompositionOfExperts(profile, make_local_models(profile) | (listeners or {}), shelf, board)


def settings(text: str, **settings: Any) -> Call:
    return Call((Message("user", text),), SamplingParams(**settings))


async def test_a_question_is_classified_routed_and_answered(tmp_path: Path) -> None:
    route, completion = await composed(tmp_path).answer(settings(BUILD))
    assert (route.classification.task, route.expert, completion.text) == ("Build", "beta", "the answer is (B)")
    assert route.classification.confidence == pytest.approx(0.6)
    assert route.classification.neighbours[0] == NEAR
    assert route.leaderboard == BOARD.version


async def test_an_unknown_question_goes_to_the_best_on_average(tmp_path: Path) -> None:
    route, completion = await composed(tmp_path).answer(settings("What is love?"))
    assert (route.classification.task, route.expert, completion.text) == (UNKNOWN, "alpha", "the answer is (A)")


async def test_the_composition_is_a_chat_model_and_may_be_an_expert_itself(tmp_path: Path) -> None:
    inner = composed(tmp_path)
    assert isinstance(inner, ChatModel)
    outer = composed(tmp_path, {"one": inner})
    assert (await outer.complete(settings("What is love?"))).text == "the answer is (A)"


async def test_where_the_classifier_fails_the_neighbours_route_a_live_question(tmp_path: Path) -> None:
    route, completion = await composed(tmp_path).answer(settings("outage"))
    label = route.classification
    assert (label.task, label.by, label.fallback) == ("Build", "neighbours", "ServerFault")
    assert (route.expert, completion.text) == ("beta", "the answer is (B)")


async def test_in_a_job_the_classifiers_outage_is_a_failed_call_and_no_label(tmp_path: Path) -> None:
    with pytest.raises(CallError, match="model 'sorter': out of order"):
        await composed(tmp_path).classify(make_question("outage"))


DOWN = [{"pattern": ".", "reply": "down", "fails": True}]


async def test_where_the_best_expert_fails_the_next_best_on_the_task_answers(tmp_path: Path) -> None:
    models = content()["models"]
    models["two"]["rules"] = DOWN
    route, completion = await composed(tmp_path, models=models).answer(settings(BUILD))
    assert (route.expert, route.row[0].expert, completion.text) == ("alpha", "beta", "the answer is (A)")
    (tried,) = route.tried
    assert (tried.expert, tried.error, tried.message) == ("beta", "ServerFault", "model 'two': down")
    assert route.reason == "best on Build; which cannot answer now, so the next by rank"


async def test_a_stream_goes_to_the_next_best_before_its_first_piece(tmp_path: Path) -> None:
    models = content()["models"]
    models["two"]["rules"] = DOWN
    deltas = [delta async for delta in composed(tmp_path, models=models).stream(settings(BUILD))]
    assert "".join(delta.text for delta in deltas) == "the answer is (A)"


async def test_where_every_expert_fails_all_are_named(tmp_path: Path) -> None:
    models = content()["models"]
    models["one"]["rules"] = models["two"]["rules"] = DOWN
    with pytest.raises(CallError, match=r"model 'one': down \(expert 'alpha'; tried before it: 'beta': ServerFault\)"):
        await composed(tmp_path, models=models).answer(settings(BUILD))


async def test_what_one_asks_for_by_name_is_not_asked_elsewhere(tmp_path: Path) -> None:
    models = content()["models"]
    models["two"]["rules"] = DOWN
    with pytest.raises(CallError, match="model 'two': down"):
        await composed(tmp_path, models=models).complete_with("beta", QUESTION, settings(BUILD))


async def test_a_bench_asks_one_expert_and_no_other(tmp_path: Path) -> None:
    models = content()["models"]
    models["two"]["rules"] = DOWN
    with pytest.raises(CallError, match="model 'two': down"):
        await composed(tmp_path, models=models).answer_question("beta", QUESTION)


async def test_neighbours_that_agree_spare_the_classifiers_call(tmp_path: Path) -> None:
    model = Listener("sorter", "Task: Integration Test")
    coe = composed(tmp_path, {"sorter": model}, classifier={"model": "sorter", "k": 2, "skip_llm_above": 0.6})
    label = await coe.classify(make_question("What?"))
    assert (label.task, label.by, model.calls) == ("Build", "neighbours", [])
    assert label.confidence == pytest.approx(0.6)
    strict = composed(tmp_path, {"sorter": model}, classifier={"model": "sorter", "k": 2, "skip_llm_above": 0.61})
    label = await strict.classify(make_question("What?"))
    assert (label.task, label.by, len(model.calls)) == ("Integration Test", "llm", 1)


async def test_a_question_without_options_reaches_the_expert_as_the_client_put_it(tmp_path: Path) -> None:
    model = Listener("one", "yes")
    messages = (Message("system", "be brief"), Message("user", "hi"), Message("assistant", "yo"), Message("user", "?"))
    await composed(tmp_path, {"one": model}).answer(Call(messages))
    assert model.calls[0].messages == messages
    assert model.calls[0].choices == ()


async def test_a_question_with_options_reaches_the_expert_in_prompt_2(tmp_path: Path) -> None:
    model = Listener("two", "B")
    await composed(tmp_path, {"two": model}).answer(settings(BUILD))
    (call,) = model.calls
    assert call.messages[-1] == Message("user", BUILD)
    assert "and nothing else" in call.messages[0].content
    assert call.choices == ("the answer is (A)", "the answer is (B)")
    assert call.question == QUESTION


async def test_an_expert_that_is_not_constrained_gets_no_choices(tmp_path: Path) -> None:
    model = Listener("one", "A")
    await composed(tmp_path, {"one": model}).complete_with("alpha", QUESTION, settings(BUILD))
    assert model.calls[0].choices == ()


async def test_the_clients_settings_override_the_experts(tmp_path: Path) -> None:
    model = Listener("one", "A")
    experts = content()["experts"]
    experts["alpha"]["settings"] = {"temperature": 0.0, "max_tokens": 9, "stop": ["END"]}
    coe = composed(tmp_path, {"one": model}, experts=experts)
    await coe.answer(settings("?", temperature=1.5, seed=0))
    assert model.calls[0].settings == SamplingParams(temperature=1.5, max_tokens=1024, stop=("END",), seed=0)
    await coe.complete_with("alpha", QUESTION, settings(BUILD, seed=0))
    assert model.calls[1].settings == SamplingParams(temperature=0.0, max_tokens=9, stop=("END",), seed=0)


@pytest.mark.parametrize(("own", "sent"), [(None, None), (12, 1024), (1024, 1024), (4000, 4000)])
async def test_free_text_has_room_for_free_text(tmp_path: Path, own: int | None, sent: int | None) -> None:
    model, experts = Listener("one", "A"), content()["experts"]
    experts["alpha"]["settings"] = {"max_tokens": own}
    coe = composed(tmp_path, {"one": model}, experts=experts)
    await coe.complete_with("alpha", make_question("Why?"), settings("Why?"))
    await coe.complete_with("alpha", make_question("Why?"), settings("Why?", max_tokens=3))
    assert [call.settings.max_tokens for call in model.calls] == [sent, 3]


async def test_the_clients_settings_do_not_reach_the_classifier(tmp_path: Path) -> None:
    model = Listener("sorter", "Task: Build")
    await composed(tmp_path, {"sorter": model}).answer(settings(BUILD, max_tokens=1, stop=("Task",)))
    assert model.calls[0].settings == SamplingParams(temperature=0.0, max_tokens=512)


async def test_no_more_neighbours_are_asked_for_than_the_profile_says(tmp_path: Path) -> None:
    classifier = {"model": "sorter", "k": 1}
    label = await composed(tmp_path, classifier=classifier).classify(make_question("What?"))
    assert label.neighbours == (NEAR,)


async def test_past_the_deadline_the_call_times_out_in_the_name_of_coe(tmp_path: Path) -> None:
    models = content()["models"]
    models["one"]["delay_s"] = models["two"]["delay_s"] = 30
    coe = composed(tmp_path, models=models, routing={"deadline_s": 0.05})
    with pytest.raises(CallTimeout, match=r"model 'coe': no answer within 0.05 s"):
        await coe.answer(settings("?"))


async def test_a_stream_is_the_routed_answer(tmp_path: Path) -> None:
    deltas = [delta async for delta in composed(tmp_path).stream(settings(BUILD))]
    assert "".join(delta.text for delta in deltas) == "the answer is (B)"
    assert len(deltas) > 2
    assert deltas[-1].finish_reason == "stop"
    assert deltas[-1].usage


async def test_one_experts_answer_is_read_for_its_letter(tmp_path: Path) -> None:
    coe = composed(tmp_path)
    answer = await coe.answer_question("alpha", QUESTION)
    assert (answer.expert, answer.letter, answer.rule) == ("alpha", "A", "the answer is (X)")
    assert answer.completion.text == "the answer is (A)"


async def test_an_answer_without_a_letter_is_unparsed(tmp_path: Path) -> None:
    answer = await composed(tmp_path, {"one": Listener("one", "who knows")}).answer_question(
        "alpha", make_question("?", ("x", "y"))
    )
    assert (answer.letter, answer.rule) == (None, "no rule matched")


async def test_without_a_leaderboard_questions_are_classified_but_not_routed(tmp_path: Path) -> None:
    coe = composed(tmp_path, board=None)
    assert (await coe.classify(QUESTION)).task == "Build"
    with pytest.raises(ConfigError, match=r"profile 'small': leaderboard.path is not set.*run `coe-ray bench`"):
        await coe.route(make_question("?"))


def test_a_leaderboard_that_lacks_an_expert_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"leaderboard {BOARD.narrowed(['beta']).version} has no scores for alpha; "):
        composed(tmp_path, board=BOARD.narrowed(["beta"]))


def test_a_leaderboard_is_narrowed_to_the_profiles_experts(tmp_path: Path) -> None:
    rows = [(score.expert, score.task, score.correct, score.total) for score in BOARD.scores]
    wider = Leaderboard.from_scores([*rows, ("gamma", "Build", 4, 4)])
    assert check_leaderboard(wider, small_profile(tmp_path)) == BOARD


def test_the_leaderboard_is_read_from_where_the_profile_says(tmp_path: Path) -> None:
    assert load_leaderboard(small_profile(tmp_path)) is None
    profile = small_profile(tmp_path, leaderboard={"path": "board.json"})
    with pytest.raises(DataError, match="no leaderboard there"):
        load_leaderboard(profile)
    BOARD.save(tmp_path / "board.json")
    assert load_leaderboard(profile) == BOARD


LOGS = make_question("Which template?", ("one", "two"), "B", "Log Parser", category="english/LogParser")


class AboutToSay:
    """A model that says one thing and was about to say others."""

    name = "about to say"

    def __init__(self, text: str, *first_token: tuple[str, float], refusal: str | None = None) -> None:
        self.completion = Completion(text, refusal=refusal, first_token=first_token)

    async def complete(self, call: Call) -> Completion:
        return self.completion

    def stream(self, call: Call) -> AsyncIterator[Delta]:
        return stream_completion(self, call)


def expert(model: ChatModel | None = None, shots: Shots | None = None, **config: Any) -> Expert:
    config = {"model": "one", "prompt": "next-token", **config}
    return Expert("alpha", model or AboutToSay("A"), ExpertConfig(**config), shots or {})


def test_a_next_token_is_asked_for_with_all_that_it_could_be() -> None:
    call = expert().make_call(LOGS, Call(()))
    assert call.settings == SamplingParams(temperature=0.0, max_tokens=1)
    assert call.top_logprobs == 20
    assert call.messages[-1].content == "Which template?\nA. one\nB. two\nAnswer:"
    assert (call.choices, call.question) == (("A", "B"), LOGS)


@pytest.mark.parametrize("settings", [SamplingParams(), SamplingParams(max_tokens=99, temperature=1.5, seed=7)])
def test_nobodys_settings_change_how_a_next_token_is_asked_for(settings: SamplingParams) -> None:
    own = SamplingParams(temperature=0.9, max_tokens=512, top_p=0.5)
    call = expert(settings=own).make_call(LOGS, Call((), settings, top_logprobs=2))
    forced = SamplingParams(temperature=0.0, max_tokens=1)
    assert call.top_logprobs == 20
    assert call.settings == SamplingParams(top_p=0.5).merge(SamplingParams(seed=settings.seed)).merge(forced)


def test_in_other_styles_no_alternatives_are_asked_for() -> None:
    for style in ("direct", "step-by-step"):
        call = expert(prompt=style).make_call(LOGS, Call(()))
        assert "logprobs" not in call.parameters
        assert (call.top_logprobs, call.settings.max_tokens) == (0, None)


def test_a_question_without_options_is_put_as_it_is_whatever_the_style() -> None:
    messages = (Message("user", "Why?"),)
    call = expert(shots={"": (LOGS,)}).make_call(make_question("Why?"), Call(messages, SamplingParams(max_tokens=9)))
    assert (call.messages, call.choices) == (messages, ())
    assert call.settings == SamplingParams(temperature=0.0, max_tokens=9)


def test_the_likeliest_letter_is_the_answer_whatever_was_said() -> None:
    completion = Completion("the answer is (A)", first_token=(("The", -0.1), (" B", -1.0), ("A", -2.0)))
    answer = expert().read_answer(LOGS, completion)
    assert (answer.letter, answer.rule, answer.completion) == ("B", "next token", completion)
    assert [letter for letter, _ in answer.chances] == ["B", "A"]
    assert dict(answer.chances)["B"] == pytest.approx(1 / (1 + math.exp(-1.0)))


@pytest.mark.parametrize("tokens", [(), (("The", -0.1),), (("C", -0.1),), (("A", -math.inf),)], ids=str)
def test_where_no_letter_was_among_the_alternatives_the_text_counts(
    tokens: tuple[tuple[str, float], ...],
) -> None:
    answer = expert().read_answer(LOGS, Completion("B", first_token=tokens))
    assert (answer.letter, answer.rule, answer.chances) == ("B", "bare letter", ())
    answer = expert().read_answer(LOGS, Completion("Well", first_token=tokens))
    assert (answer.letter, answer.rule, answer.chances) == (None, "no rule matched", ())


def test_alternatives_that_nobody_asked_for_do_not_count() -> None:
    label = Completion("the answer is (A)", first_token=(("B", -0.1),))
    for style in ("direct", "step-by-step"):
        answer = expert(prompt=style).read_answer(LOGS, label)
        assert (answer.letter, answer.chances) == ("A", ())


async def test_an_expert_that_is_scored_by_its_next_token_is_asked_and_read_so(tmp_path: Path) -> None:
    experts = {"alpha": {"model": "one", "prompt": "next-token"}, "beta": {"model": "two"}}
    model = AboutToSay("Well", ("B", -0.5), ("A", -1.0))
    answer = await composed(tmp_path, {"one": model}, experts=experts).answer_question("alpha", LOGS)
    assert (answer.expert, answer.letter, answer.rule) == ("alpha", "B", "next token")


async def test_in_the_endpoint_a_next_token_is_the_answers_text(tmp_path: Path) -> None:
    experts = {"alpha": {"model": "one", "prompt": "next-token"}, "beta": {"model": "two"}}
    coe = composed(tmp_path, {"one": AboutToSay("B", ("B", -0.5))}, experts=experts)
    deltas = [delta async for delta in (await coe.stream_with("alpha", LOGS, settings(BUILD))).rest]
    assert deltas == []
    assert (await coe.complete_with("alpha", LOGS, settings(BUILD))).text == "B"


SHOT = make_question("Which pattern?", ("one", "two"), "A", "Log Parser", category="english/LogParser")
SHOTS: Shots = {"english/LogParser": (SHOT,), "chinese/Python": (replace(SHOT, text="哪个?"),), "": (LOGS,)}


@pytest.mark.parametrize("style", ["step-by-step", "direct", "next-token"])
def test_solved_questions_of_the_same_category_stand_before_a_question(style: str) -> None:
    call = expert(shots=SHOTS, prompt=style).make_call(LOGS, Call(()))
    assert [message.role for message in call.messages] == ["system", "user", "assistant", "user"]
    assert call.messages[1].content.startswith("Which pattern?")
    assert call.messages[2].content == ("A" if style == "next-token" else "the answer is (A)")


@pytest.mark.parametrize("category", [None, "english/RootCauseAnalysis", "LogParser"])
def test_a_question_of_another_category_or_of_none_is_shown_nothing(category: str | None) -> None:
    shots = {name: each for name, each in SHOTS.items() if name}
    call = expert(shots=shots).make_call(replace(LOGS, category=category), Call(()))
    assert [message.role for message in call.messages] == ["system", "user"]


async def test_a_pipeline_shows_its_shots_to_every_expert_and_not_to_the_classifier(tmp_path: Path) -> None:
    models: dict[str, Listener] = {name: Listener(name, "Task: Build; A") for name in ("sorter", "one", "two")}
    profile = small_profile(tmp_path)
    coe = CompositionOfExperts(profile, models, Shelf(), None, SHOTS)
    await coe.classify(LOGS)
    for name in coe.experts:
        await coe.answer_question(name, LOGS)
    assert [len(models[name].calls[0].messages) for name in ("sorter", "one", "two")] == [2, 4, 4]


def test_the_right_answer_of_the_question_itself_is_never_in_the_prompt() -> None:
    question = make_question("Which?", ("p", "q"), "B", "secret task", category="english/LogParser")
    other = Question(question.id, question.text, question.options, category=question.category)
    for style in ("step-by-step", "direct", "next-token"):
        asking = expert(shots=SHOTS, prompt=style)
        assert asking.make_call(question, Call(())).messages == asking.make_call(other, Call(())).messages


PICTURE = {"type": "image_url", "image_url": {"url": "data:,"}}


def request(text: str = "Why?", *parts: dict[str, Any], **fields: Any) -> Call:
    """A client's request."""
    content = [{"type": "text", "text": text}, *parts] if parts else text
    return Call((Message("user", text),), request={"messages": [{"role": "user", "content": content}], **fields})


async def test_who_cannot_read_a_request_is_not_asked_for_it(tmp_path: Path) -> None:
    experts = content()["experts"]
    experts["beta"]["reads"] = ["choice"]
    coe = composed(tmp_path, experts=experts)
    route, _ = await coe.answer(request("Which tool is there to compile?"))
    assert (route.expert, [ranked.expert for ranked in route.row]) == ("alpha", ["alpha"])
    assert route.reason == "best on Build; beta cannot read this request"
    assert (await coe.answer(request(BUILD)))[0].expert == "beta"


async def test_where_nobody_can_read_a_request_the_refusal_says_what_is_missing(tmp_path: Path) -> None:
    experts = content()["experts"]
    experts["alpha"]["reads"], experts["beta"]["reads"] = ["choice", "text"], ["choice"]
    message = (
        "no expert can read this request: alpha does not read images, tools; beta does not read images, text, tools"
    )
    with pytest.raises(BadCall, match=message) as caught:
        await composed(tmp_path, experts=experts).answer(request("Why?", PICTURE, tools=[{"type": "function"}]))
    assert (caught.value.status, caught.value.attempts) == (400, 0)


def test_an_expert_reads_what_the_profile_says_or_else_its_model() -> None:
    assert expert().reads == ALL_ABILITIES
    assert expert(TimeSeriesExpert("series")).reads == {"choice"}
    assert expert(TimeSeriesExpert("series"), reads=("choice", "text")).reads == {"choice", "text"}


@pytest.mark.parametrize(("characters", "missing"), [(400, []), (404, ["a context of more than 100 tokens"])])
def test_who_has_too_short_a_context_cannot_read_a_request(characters: int, missing: list[str]) -> None:
    assert expert(context_tokens=100).missing_abilities(request("x" * characters), frozenset({"text"})) == missing


async def test_an_expert_that_abstains_is_followed_by_the_next_and_has_no_letter_in_a_bench(tmp_path: Path) -> None:
    coe = composed(tmp_path, {"two": TimeSeriesExpert("two")})
    route, completion = await coe.answer(request(BUILD))
    assert (route.expert, completion.text, route.tried[0].error) == ("alpha", "the answer is (A)", "CannotAnswer")
    answer = await coe.answer_question("beta", QUESTION)
    assert (answer.letter, answer.rule, answer.completion.text) == (None, "cannot answer", "no series in the question")


def test_a_task_that_the_client_names_is_not_classified(tmp_path: Path) -> None:
    coe = composed(tmp_path)
    said = coe.name_task("Build")
    assert (said.task, said.by, said.confidence, said.neighbours) == ("Build", "client", 1.0, ())
    assert coe.name_task(UNKNOWN).task == UNKNOWN
    with pytest.raises(BadCall, match="no task 'build'; there are: Build, Integration Test") as caught:
        coe.name_task("build")
    assert caught.value.status == 400


def test_an_exams_prompt_keeps_the_conversation_and_the_clients_fields() -> None:
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": BUILD}]
    call = expert(prompt="direct").make_call(QUESTION, Call((), request={"messages": messages, "top_k": 5}))
    assert call.request is not None
    system, asked = call.request["messages"]
    assert system == messages[0]
    assert asked["role"] == "user"
    assert asked["content"].endswith(f"\n\n{BUILD}")
    assert call.request["top_k"] == 5


def test_a_clients_limits_do_not_reach_a_next_token() -> None:
    fields = {"max_tokens": 99, "max_completion_tokens": 99, "temperature": 1.5, "logprobs": False, "top_k": 5}
    call = expert().make_call(QUESTION, request(BUILD, **fields))
    own = {"max_tokens": 1, "temperature": 0.0, "logprobs": True, "top_logprobs": 20, "top_k": 5}
    assert call.parameters == own
