"""The three prompts: nothing left out, in the question's language, the question and the form of the reply last."""

import pytest

from coe_ray.core.questions import make_question
from coe_ray.core.types import Message, Neighbour, Question, Task
from coe_ray.profile.tasks import TASK_SETS
from coe_ray.routing.parsing import parse_letter, parse_task
from coe_ray.routing.prompts import classifier_prompt, expert_prompt

TASKS = (Task("Build", "compiling"), Task("Test", "checking"))
ENGLISH = make_question("Which tool compiles?", ("make", "ping"))
CHINESE = make_question("哪个工具用于编译?", ("make", "ping"))
STYLES = ("step-by-step", "direct", "next-token")
NEAR = Neighbour("1", "the nearest example", "Build", 0.9, 0.6)
FAR = Neighbour("2", "the farther example", "Test", 0.5, 0.4)


def test_the_classifier_sees_tasks_question_options_and_form() -> None:
    system, user = classifier_prompt(ENGLISH, TASKS, (), 100)
    assert (system.role, user.role) == ("system", "user")
    assert "- Build: compiling\n- Test: checking\n- unknown: " in system.content
    assert user.content == (
        "Question: Which tool compiles?\nA. make\nB. ping\n\nReply in exactly this form:\n**Task: [selected task]**"
    )


def test_the_head_is_the_same_for_every_question_so_that_it_can_be_cached() -> None:
    other = make_question("Where are the logs?")
    assert classifier_prompt(ENGLISH, TASKS, (NEAR,), 100)[0] == classifier_prompt(other, TASKS, (), 9)[0]


def test_examples_with_their_tasks_stand_before_the_question_and_the_form_last() -> None:
    user = classifier_prompt(ENGLISH, TASKS, (NEAR, FAR), 100)[1].content
    parts = [
        "already sorted",
        "Question: the farther example\n**Task: Test**",
        "Question: the nearest example\n**Task: Build**",
        "Question: Which tool compiles?",
        "**Task: [selected task]**",
    ]
    places = [user.index(part) for part in parts]
    assert places == sorted(places)


def test_a_long_example_is_shortened_and_a_long_question_is_not() -> None:
    long = Neighbour("1", "x" * 500, "Build", 1.0, 1.0)
    question = make_question("y" * 500)
    user = classifier_prompt(question, TASKS, (long,), 50)[1].content
    assert f"Question: {'x' * 50} …\n" in user
    assert "y" * 500 in user


def test_an_example_of_just_the_limit_stays_whole() -> None:
    near = Neighbour("1", "x" * 50, "Build", 1.0, 1.0)
    assert "…" not in classifier_prompt(ENGLISH, TASKS, (near,), 50)[1].content


def test_text_with_braces_passes_as_it_is() -> None:
    question = make_question("What is {tasks} in {0}?")
    near = Neighbour("1", "about {examples}", "Build", 1.0, 1.0)
    user = classifier_prompt(question, (Task("{x}", "{y}"),), (near,), 100)[1].content
    assert "about {examples}" in user
    assert "What is {tasks} in {0}?" in user


def test_a_chinese_question_gets_chinese_instructions() -> None:
    system, user = classifier_prompt(CHINESE, TASKS, (NEAR,), 100)
    assert "任务列表：\n- Build: compiling" in system.content
    assert "- unknown：不属于以上任何一项" in system.content
    assert "问题: 哪个工具用于编译?\nA. make\nB. ping" in user.content
    assert user.content.endswith("**Task: [所选任务]**")
    assert "选择题" in expert_prompt(CHINESE, "direct")[0].content


@pytest.mark.parametrize("style", ["step-by-step", "direct"])
def test_the_expert_sees_question_and_options_and_is_told_the_form(style: str) -> None:
    system, user = expert_prompt(ENGLISH, style)
    assert "the answer is (X)" in system.content
    assert ("step by step" in system.content) is (style == "step-by-step")
    assert user.content == "Which tool compiles?\nA. make\nB. ping"


def test_the_next_token_after_a_question_is_to_be_its_letter() -> None:
    system, user = expert_prompt(ENGLISH, "next-token")
    assert "the letter of the right option and nothing else" in system.content
    assert user.content == "Which tool compiles?\nA. make\nB. ping\nAnswer:"
    system, user = expert_prompt(CHINESE, "next-token")
    assert "只需回答正确选项的字母" in system.content
    assert user.content == "哪个工具用于编译?\nA. make\nB. ping\n答案："


@pytest.mark.parametrize("style", STYLES)
def test_an_instruction_stands_in_the_place_of_our_own_words_in_every_language(style: str) -> None:
    for question in (ENGLISH, CHINESE):
        own, *rest = expert_prompt(question, style)
        other, *same = expert_prompt(question, style, "Pick one.")
        assert other == Message("system", "Pick one.") != own
        assert same == rest


def solved(text: str, answer: str) -> Question:
    return make_question(text, ("one", "two"), answer, "Build")


SHOTS = (solved("First?", "B"), solved("哪一个?", "A"))


@pytest.mark.parametrize("style", ["step-by-step", "direct"])
def test_shots_are_turns_before_the_question_answered_in_the_form_that_is_asked_for(style: str) -> None:
    system, *turns = expert_prompt(ENGLISH, style, shots=SHOTS)
    assert system == expert_prompt(ENGLISH, style)[0]
    assert turns == [
        Message("user", "First?\nA. one\nB. two"),
        Message("assistant", "the answer is (B)"),
        Message("user", "哪一个?\nA. one\nB. two"),
        Message("assistant", "the answer is (A)"),
        Message("user", "Which tool compiles?\nA. make\nB. ping"),
    ]


def test_shots_before_a_next_token_are_letters_each_in_its_language() -> None:
    _, *turns = expert_prompt(ENGLISH, "next-token", shots=SHOTS)
    assert [turn.content for turn in turns] == [
        "First?\nA. one\nB. two\nAnswer:",
        "B",
        "哪一个?\nA. one\nB. two\n答案：",
        "A",
        "Which tool compiles?\nA. make\nB. ping\nAnswer:",
    ]
    assert [turn.role for turn in turns] == ["user", "assistant", "user", "assistant", "user"]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("letter", "AB")
def test_an_answer_as_the_shots_give_it_is_read_as_that_letter(style: str, letter: str) -> None:
    example = expert_prompt(ENGLISH, style, shots=(solved("First?", letter),))[2]
    assert parse_letter(example.content, "AB").value == letter


@pytest.mark.parametrize("style", STYLES)
def test_questions_of_one_category_share_all_but_their_end_so_that_it_can_be_cached(style: str) -> None:
    other = make_question("Where are the logs?", ("here", "there"))
    assert expert_prompt(ENGLISH, style, shots=SHOTS)[:-1] == expert_prompt(other, style, shots=SHOTS)[:-1]


@pytest.mark.parametrize("name", [task.name for tasks in TASK_SETS.values() for task in tasks])
def test_a_reply_in_the_form_asked_for_is_read_as_that_task(name: str) -> None:
    names = [task.name for tasks in TASK_SETS.values() for task in tasks]
    assert parse_task(f"**Task: [{name}]**", names) == (name, "**Task: …**")
    assert parse_task(f"**Task: {name}**", names) == (name, "**Task: …**")
    assert parse_task(name, names) == (name, "bare label")


@pytest.mark.parametrize("letter", "ABCDEFGHIJ")
def test_an_answer_in_the_form_asked_for_is_read_as_that_letter(letter: str) -> None:
    assert parse_letter(f"the answer is ({letter})", "ABCDEFGHIJ").value == letter
