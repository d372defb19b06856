"""What a conversation asks: the last question with what it refers to, bounded, and never what tools or systems say."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.core.questions import MAX_EXAM, make_question
from coe_ray.core.types import Call, Message
from coe_ray.routing.conversation import (
    CONTEXT_CHARS,
    EARLIER_TURNS,
    QUESTION_CHARS,
    SELF_CONTAINED_CHARS,
    Conversation,
    ConversationMemory,
    exam_messages,
    is_follow_up,
    read_conversation,
    shorten,
)

MARK_CHARS = 60
"""Characters of the line that says how much is left out, and of the gaps between turns."""

SECRET = "AKIA-a-secret-of-a-tool"
FAILING = "Why does the payments deployment restart all the time?"
TOOL_CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
EXAM = "Which command undoes a pushed commit?\nA. git revert\nB. git reset"


def chat(*turns: tuple[str, Any], **fields: Any) -> Call:
    """A client's request of these turns: role and content."""
    messages = [{"role": role, "content": content} for role, content in turns]
    texts = tuple(Message(role, content or "") for role, content in turns)  # type: ignore[arg-type]
    return Call(texts, request={"messages": messages, **fields})


def read(*turns: tuple[str, Any], **fields: Any) -> Conversation:
    return read_conversation(chat(*turns, **fields))


@pytest.mark.parametrize(
    "text",
    [
        *("and why?", "Why?", "thanks", "Thank you very much!", "ok", "yes please", "go on", "continue", "What else?"),
        *("Can you explain that in more detail?", "shorter please", "Are you sure?", "say that again in English"),
        *("为什么？", "谢谢", "好的，谢谢！", "继续", "详细一点", "请举个例子", "再解释一下", "什么意思？", "还有呢？"),
        *("", "   ", "?", "…", "👍"),
    ],
)
def test_short_messages_without_a_topic_are_follow_ups(text: str) -> None:
    assert is_follow_up(text)


@pytest.mark.parametrize(
    "text",
    [
        *("and in Kubernetes?", "restart the pod", "thanks, now show the disk usage", "What about port 8080?", "42"),
        *("为什么磁盘满了？", "怎么重启服务", "再看看网络", "thanks 服务器"),
        "why " * 16,
    ],
)
def test_messages_that_name_something_are_none(text: str) -> None:
    assert not is_follow_up(text)


def test_the_first_message_is_a_question_whatever_it_says() -> None:
    said = read(("system", "be brief"), ("user", "thanks"))
    assert (said.question.text, said.goes_on, said.key) == ("thanks", False, b"")


def test_a_new_question_is_its_own_with_the_users_turns_before_it() -> None:
    said = read(
        *(("user", FAILING), ("assistant", "It runs out of memory."), ("user", "thanks")),
        *(("assistant", "You are welcome."), ("user", "How do I raise its limit?")),
    )
    assert said.question.text == f"How do I raise its limit?\n\n{FAILING}"
    assert not said.goes_on


def test_of_many_turns_the_nearest_count_and_each_is_shortened() -> None:
    turns = [("user", f"Question number {number} {'about it ' * 200}") for number in range(6)]
    text = read(*turns, ("user", "How do I raise its limit?")).question.text
    last, *context = text.split("\n\n")
    assert last == "How do I raise its limit?"
    assert [each.split(" about")[0] for each in context] == ["Question number 5", "Question number 4"]
    assert len(context) == EARLIER_TURNS
    assert all(len(each) <= CONTEXT_CHARS + MARK_CHARS for each in context)


def test_a_long_question_needs_no_earlier_turn() -> None:
    long = "Explain this line. " * (SELF_CONTAINED_CHARS // 10)
    assert read(("user", FAILING), ("user", long)).question.text == long


@pytest.mark.parametrize("follow_up", ["and why?", "谢谢，再详细一点"])
def test_a_follow_up_goes_on_with_its_question(follow_up: str) -> None:
    first = (("system", "be brief"), ("user", FAILING))
    said = read(*first, ("assistant", "Memory."), ("user", follow_up))
    assert (said.question.text, said.goes_on) == (FAILING, True)
    assert said.key == read(*first).last_key != b""
    later = read(*first, ("assistant", "Memory."), ("user", follow_up), ("assistant", "Ah."), ("user", "thanks"))
    assert (later.question.text, later.goes_on, later.key) == (FAILING, True, said.last_key)


def test_a_tool_loop_goes_on_with_its_question_however_many_rounds_it_takes() -> None:
    asked = (("system", "be brief"), ("user", "What fills the disk of host db-1?"))
    rounds = (("assistant", None), ("tool", SECRET)) * 5
    first = read(*asked)
    for count in range(2, len(rounds) + 1, 2):
        said = read(*asked, *rounds[:count])
        assert (said.question, said.goes_on) == (first.question, True)
        assert said.key == said.last_key == first.last_key
    after = read(*asked, *rounds, ("assistant", "Logs."), ("user", "Which process writes them?"))
    assert not after.goes_on


def test_a_new_question_behind_a_tool_loop_does_not_go_on() -> None:
    said = read(("user", FAILING), ("assistant", None), ("tool", "12"), ("user", "How do I rotate the nginx logs?"))
    assert not said.goes_on
    assert said.question.text.startswith("How do I rotate the nginx logs?")


def test_system_prompts_answers_and_tool_results_are_never_in_a_question() -> None:
    secrets: list[tuple[str, Any]] = [
        *(("system", SECRET), ("user", FAILING), ("assistant", SECRET), ("tool", SECRET), ("assistant", SECRET)),
    ]
    for last in ((), (("user", "and why?"),), (("user", "How do I raise its limit?"),), (("user", EXAM),)):
        assert SECRET not in read(*secrets, *last).question.full_text


def test_a_log_of_a_mebibyte_leaves_its_head_and_its_tail() -> None:
    log = "Why does it fail?\n" + "2026-11-30 ERROR no route to host\n" * 31_000 + "the last line"
    text = read(("user", log)).question.text
    assert len(text) <= QUESTION_CHARS + MARK_CHARS
    assert text.startswith("Why does it fail?\n")
    assert text.endswith("the last line")
    assert f"{len(log) - QUESTION_CHARS} characters left out" in text


@given(st.text(max_size=300), st.integers(1, 200))
def test_shortening_keeps_head_tail_and_length(text: str, limit: int) -> None:
    short = shorten(text, limit)
    if len(text) <= limit:
        assert short == text
    else:
        assert len(short) <= limit + MARK_CHARS
        assert short.startswith(text[: limit - limit // 3])
        assert f"{len(text) - limit} characters left out" in short


def test_an_exam_is_a_question_with_its_options() -> None:
    said = read(("system", "be brief"), ("user", FAILING), ("assistant", "Memory."), ("user", EXAM))
    assert said.question == make_question("Which command undoes a pushed commit?", ("git revert", "git reset"))


@pytest.mark.parametrize(
    "fields",
    [{"tools": [{"type": "function", "function": {"name": "f"}}]}, {"response_format": {"type": "json_object"}}],
)
def test_where_more_is_asked_for_than_a_letter_it_is_no_exam(fields: dict[str, Any]) -> None:
    question = read(("user", EXAM), **fields).question
    assert (question.text, question.options) == (EXAM, ())


@pytest.mark.parametrize(
    "text",
    [
        "A. drop-all in ns pay\nB. allow-ntp in ns time\nPlease write a policy that lets pay reach NTP.",
        "Please compare these plans for me:\nA. two zones\nB. three zones",
        "Agenda:\nA. outage of Monday\nB. on-call rota",
        f"{EXAM}\nThen draft a runbook for the winner, with commands.",
        "帮我写一个脚本检查：\nA. 磁盘\nB. 内存",
    ],
)
def test_lettered_lines_beside_a_request_are_none(text: str) -> None:
    question = read(("user", "Our CNI is Calico."), ("assistant", "Noted."), ("user", text)).question
    assert question.options == ()
    assert question.text.startswith(text)


def test_a_started_answer_behind_an_exam_makes_it_none() -> None:
    assert read(("user", EXAM), ("assistant", "The answer")).question.options == ()


def test_an_exam_in_an_earlier_turn_is_context() -> None:
    question = read(("user", EXAM), ("assistant", "A"), ("user", "and why?")).question
    assert (question.text, question.options) == (EXAM, ())


def test_without_a_users_message_the_question_is_empty() -> None:
    assert read_conversation(Call(())) == read_conversation(Call((Message("system", "be brief"),)))
    assert read_conversation(Call(())).question.text == ""


def test_a_conversation_stays_with_its_expert_by_its_prefix() -> None:
    memory = ConversationMemory()
    first = (("system", "be brief"), ("user", FAILING))
    memory.remember(read(*first), b"", "alpha")
    follow_up = (("assistant", "Memory."), ("user", "and why?"))
    assert memory.find(read(*first, *follow_up), b"") == "alpha"
    assert memory.find(read(*first, ("assistant", None), ("tool", "12")), b"") == "alpha"
    assert memory.find(read(("system", "be long"), *first[1:], *follow_up), b"") is None
    assert memory.find(read(*first, ("assistant", "Memory."), ("user", "How do I raise its limit?")), b"") is None
    other = (("system", "be brief"), ("user", "Why is the queue full?"))
    assert memory.find(read(*other, *follow_up), b"") is None
    memory.remember(read(*first, *follow_up), b"", "beta")
    assert memory.find(read(*first, *follow_up, ("assistant", "Ah."), ("user", "thanks")), b"") == "beta"


def test_no_client_steers_the_conversation_of_another() -> None:
    memory = ConversationMemory()
    first, follow_up = ("user", FAILING), [("assistant", "Memory."), ("user", "and why?")]
    memory.remember(read_conversation(chat(first), "team-a"), b"", "alpha")
    assert memory.find(read_conversation(chat(first, *follow_up), "team-a"), b"") == "alpha"
    assert memory.find(read_conversation(chat(first, *follow_up), "team-b"), b"") is None


def test_a_session_stays_with_its_expert_though_its_history_was_cut() -> None:
    memory = ConversationMemory()
    memory.remember(read(("user", FAILING)), b"session", "alpha")
    cut = read(("user", "a shortened history"), ("assistant", "Memory."), ("user", "and why?"))
    assert memory.find(cut, b"session") == "alpha"
    assert memory.find(cut, b"another") is None
    assert memory.find(cut, b"") is None
    assert memory.find(read(("user", "a new question")), b"session") is None


def test_calls_of_a_job_are_not_remembered() -> None:
    memory = ConversationMemory()
    job = read_conversation(Call((Message("user", FAILING),)))
    memory.remember(job, b"", "alpha")
    assert job.last_key == b""
    follow_up = Call((Message("user", FAILING), Message("assistant", "Memory."), Message("user", "and why?")))
    assert memory.find(read_conversation(follow_up), b"") is None


PROMPT = (Message("system", "Answer with a letter."), Message("user", EXAM))


def test_an_exams_prompt_stands_in_the_place_of_the_last_message() -> None:
    assert exam_messages(chat(("user", EXAM)), PROMPT) == [
        {"role": "system", "content": "Answer with a letter."},
        {"role": "user", "content": EXAM},
    ]
    before = [("system", "be brief"), ("user", FAILING), ("assistant", "Memory.")]
    assert exam_messages(chat(*before, ("user", EXAM)), PROMPT) == [
        *({"role": role, "content": content} for role, content in before),
        {"role": "user", "content": f"Answer with a letter.\n\n{EXAM}"},
    ]


TURNS = st.tuples(
    st.sampled_from(["system", "user", "assistant", "tool"]),
    st.sampled_from(["and why?", "谢谢", EXAM, "A. a\nB. b\n", "? ", "x", "磁盘 "]) | st.text(max_size=50),
    st.sampled_from([1, 1, 1, 3, 500, 20_000]),
)


@given(st.lists(TURNS, max_size=8), st.booleans())
def test_any_messages_make_a_question_of_bounded_length(
    turns: Sequence[tuple[str, str, int]], of_a_client: bool
) -> None:
    call = chat(*((role, text * times) for role, text, times in turns))
    said = read_conversation(call if of_a_client else Call(call.messages))
    if said.question.options:
        assert len(said.question.full_text) <= MAX_EXAM + MARK_CHARS
    else:
        assert len(said.question.text) <= QUESTION_CHARS + EARLIER_TURNS * (CONTEXT_CHARS + MARK_CHARS)
    memory = ConversationMemory()
    memory.remember(said, b"", "alpha")
    assert memory.find(said, b"") in (None, "alpha")
