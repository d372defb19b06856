"""The whole online flow with scripted models: classified, routed, answered, or failed by name."""

from pathlib import Path
from typing import Any

import pytest

from coe_ray.chat import ChatModel
from coe_ray.errors import CallError, CallTimeout, ConfigError, DataError
from coe_ray.leaderboard import Leaderboard
from coe_ray.models import local_models
from coe_ray.pipeline import CompositionOfExperts, asked_question, checked_leaderboard, load_leaderboard
from coe_ray.questions import make_question
from coe_ray.types import UNKNOWN, Call, Message, Neighbour, Settings
from tests.planted import BOARD, Listener, Shelf, content, small_profile

BUILD = "Which tool is there to compile?\nA. make\nB. ping"
NEAR = Neighbour("1", "one", "Build", 0.9, 0.6)


def composed(
    folder: Path, listeners: dict[str, ChatModel] | None = None, board: Leaderboard | None = BOARD, **changes: Any
) -> CompositionOfExperts:
    profile = small_profile(folder, **changes)
    shelf = Shelf(NEAR, Neighbour("2", "two", "Integration Test", 0.5, 0.4))
    return CompositionOfExperts(profile, local_models(profile) | (listeners or {}), shelf, board)


def asked(text: str, **settings: Any) -> Call:
    return Call((Message("user", text),), Settings(**settings))


async def test_a_question_is_classified_routed_and_answered(tmp_path: Path) -> None:
    route, completion = await composed(tmp_path).answer(asked(BUILD))
    assert (route.classification.task, route.expert, completion.text) == ("Build", "beta", "the answer is (B)")
    assert route.classification.confidence == pytest.approx(0.6)
    assert route.classification.neighbours[0] == NEAR
    assert route.leaderboard == BOARD.version


async def test_an_unknown_question_goes_to_the_best_on_average(tmp_path: Path) -> None:
    route, completion = await composed(tmp_path).answer(asked("What is love?"))
    assert (route.classification.task, route.expert, completion.text) == (UNKNOWN, "alpha", "the answer is (A)")


async def test_the_composition_is_a_chat_model_and_may_be_an_expert_itself(tmp_path: Path) -> None:
    inner = composed(tmp_path)
    assert isinstance(inner, ChatModel)
    outer = composed(tmp_path, {"one": inner})
    assert (await outer.complete(asked("What is love?"))).text == "the answer is (A)"


async def test_the_classifiers_outage_is_a_failed_call_and_no_unknown(tmp_path: Path) -> None:
    with pytest.raises(CallError, match="model 'sorter': out of order"):
        await composed(tmp_path).answer(asked("outage"))


DOWN = [{"pattern": ".", "reply": "down", "fails": True}]


async def test_where_the_best_expert_fails_the_next_best_on_the_task_answers(tmp_path: Path) -> None:
    models = content()["models"]
    models["two"]["rules"] = DOWN
    route, completion = await composed(tmp_path, models=models).answer(asked(BUILD))
    assert (route.expert, route.row[0].expert, completion.text) == ("alpha", "beta", "the answer is (A)")
    (tried,) = route.tried
    assert (tried.expert, tried.error, tried.message) == ("beta", "ServerFault", "model 'two': down")
    assert route.reason == "best on Build; which cannot answer now, so the next by rank"


async def test_a_stream_goes_to_the_next_best_before_its_first_piece(tmp_path: Path) -> None:
    models = content()["models"]
    models["two"]["rules"] = DOWN
    deltas = [delta async for delta in composed(tmp_path, models=models).stream(asked(BUILD))]
    assert "".join(delta.text for delta in deltas) == "the answer is (A)"


async def test_where_every_expert_fails_all_are_named(tmp_path: Path) -> None:
    models = content()["models"]
    models["one"]["rules"] = models["two"]["rules"] = DOWN
    with pytest.raises(CallError, match=r"model 'one': down \(expert 'alpha'; tried before it: 'beta': ServerFault\)"):
        await composed(tmp_path, models=models).answer(asked(BUILD))


async def test_what_one_asks_for_by_name_is_not_asked_elsewhere(tmp_path: Path) -> None:
    models = content()["models"]
    models["two"]["rules"] = DOWN
    with pytest.raises(CallError, match="model 'two': down"):
        await composed(tmp_path, models=models).complete_from("beta", asked_question(asked(BUILD)), asked(BUILD))


async def test_a_bench_asks_one_expert_and_no_other(tmp_path: Path) -> None:
    models = content()["models"]
    models["two"]["rules"] = DOWN
    with pytest.raises(CallError, match="model 'two': down"):
        await composed(tmp_path, models=models).ask("beta", asked_question(asked(BUILD)))


async def test_neighbours_that_agree_spare_the_classifiers_call(tmp_path: Path) -> None:
    model = Listener("sorter", "Task: Integration Test")
    coe = composed(tmp_path, {"sorter": model}, classifier={"model": "sorter", "k": 2, "skip_llm_above": 0.6})
    said = await coe.classify(make_question("What?"))
    assert (said.task, said.by, model.calls) == ("Build", "neighbours", [])
    assert said.confidence == pytest.approx(0.6)
    strict = composed(tmp_path, {"sorter": model}, classifier={"model": "sorter", "k": 2, "skip_llm_above": 0.61})
    said = await strict.classify(make_question("What?"))
    assert (said.task, said.by, len(model.calls)) == ("Integration Test", "llm", 1)


async def test_a_question_without_options_reaches_the_expert_as_the_client_put_it(tmp_path: Path) -> None:
    model = Listener("one", "yes")
    messages = (Message("system", "be brief"), Message("user", "hi"), Message("assistant", "yo"), Message("user", "?"))
    await composed(tmp_path, {"one": model}).answer(Call(messages))
    assert model.calls[0].messages == messages
    assert model.calls[0].choices == ()


async def test_a_question_with_options_reaches_the_expert_in_prompt_2(tmp_path: Path) -> None:
    model = Listener("two", "B")
    await composed(tmp_path, {"two": model}).answer(asked(BUILD))
    (call,) = model.calls
    assert call.messages[-1] == Message("user", BUILD)
    assert "and nothing else" in call.messages[0].content
    assert call.choices == ("the answer is (A)", "the answer is (B)")
    assert call.question == asked_question(asked(BUILD))


async def test_an_expert_that_is_not_constrained_gets_no_choices(tmp_path: Path) -> None:
    model = Listener("one", "A")
    await composed(tmp_path, {"one": model}).complete_from("alpha", asked_question(asked(BUILD)), asked(BUILD))
    assert model.calls[0].choices == ()


async def test_the_clients_settings_override_the_experts(tmp_path: Path) -> None:
    model = Listener("one", "A")
    experts = content()["experts"]
    experts["alpha"]["settings"] = {"temperature": 0.0, "max_tokens": 9, "stop": ["END"]}
    coe = composed(tmp_path, {"one": model}, experts=experts)
    await coe.answer(asked("?", temperature=1.5, seed=0))
    assert model.calls[0].settings == Settings(temperature=1.5, max_tokens=9, stop=("END",), seed=0)


async def test_the_clients_settings_do_not_reach_the_classifier(tmp_path: Path) -> None:
    model = Listener("sorter", "Task: Build")
    await composed(tmp_path, {"sorter": model}).answer(asked(BUILD, max_tokens=1, stop=("Task",)))
    assert model.calls[0].settings == Settings(temperature=0.0, max_tokens=512)


async def test_no_more_neighbours_are_asked_for_than_the_profile_says(tmp_path: Path) -> None:
    classifier = {"model": "sorter", "k": 1}
    said = await composed(tmp_path, classifier=classifier).classify(make_question("What?"))
    assert said.neighbours == (NEAR,)


async def test_past_the_deadline_the_call_times_out_in_the_name_of_coe(tmp_path: Path) -> None:
    models = content()["models"]
    models["one"]["delay_s"] = models["two"]["delay_s"] = 30
    coe = composed(tmp_path, models=models, routing={"deadline_s": 0.05})
    with pytest.raises(CallTimeout, match=r"model 'coe': no answer within 0.05 s"):
        await coe.answer(asked("?"))


async def test_a_stream_is_the_routed_answer(tmp_path: Path) -> None:
    deltas = [delta async for delta in composed(tmp_path).stream(asked(BUILD))]
    assert "".join(delta.text for delta in deltas) == "the answer is (B)"
    assert len(deltas) > 2
    assert deltas[-1].finish_reason == "stop"
    assert deltas[-1].usage


async def test_one_experts_answer_is_read_for_its_letter(tmp_path: Path) -> None:
    coe = composed(tmp_path)
    answer = await coe.ask("alpha", asked_question(asked(BUILD)))
    assert (answer.expert, answer.letter, answer.rule) == ("alpha", "A", "the answer is (X)")
    assert answer.completion.text == "the answer is (A)"


async def test_an_answer_without_a_letter_is_unparsed(tmp_path: Path) -> None:
    answer = await composed(tmp_path, {"one": Listener("one", "who knows")}).ask(
        "alpha", make_question("?", ("x", "y"))
    )
    assert (answer.letter, answer.rule) == (None, "no rule matched")


async def test_without_a_leaderboard_questions_are_classified_but_not_routed(tmp_path: Path) -> None:
    coe = composed(tmp_path, board=None)
    assert (await coe.classify(asked_question(asked(BUILD)))).task == "Build"
    with pytest.raises(ConfigError, match=r"profile 'small': leaderboard.path is not set.*run jobs/bench.py"):
        await coe.route(make_question("?"))


def test_a_leaderboard_that_lacks_an_expert_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"leaderboard {BOARD.narrowed(['beta']).version} has no scores for alpha; "):
        composed(tmp_path, board=BOARD.narrowed(["beta"]))


def test_a_leaderboard_is_narrowed_to_the_profiles_experts(tmp_path: Path) -> None:
    rows = [(score.expert, score.task, score.correct, score.total) for score in BOARD.scores]
    wider = Leaderboard.from_scores([*rows, ("gamma", "Build", 4, 4)])
    assert checked_leaderboard(wider, small_profile(tmp_path)) == BOARD


def test_the_leaderboard_is_read_from_where_the_profile_says(tmp_path: Path) -> None:
    assert load_leaderboard(small_profile(tmp_path)) is None
    profile = small_profile(tmp_path, leaderboard={"path": "board.json"})
    with pytest.raises(DataError, match="no leaderboard there"):
        load_leaderboard(profile)
    BOARD.save(tmp_path / "board.json")
    assert load_leaderboard(profile) == BOARD


def test_the_question_is_the_last_user_message_with_the_options_found_in_it() -> None:
    messages = (Message("user", "old?"), Message("user", BUILD), Message("assistant", "well"))
    assert asked_question(Call(messages)) == make_question("Which tool is there to compile?", ("make", "ping"))


def test_a_conversation_without_a_user_asks_nothing() -> None:
    assert asked_question(Call((Message("system", "be brief"),))).text == ""
