"""What a conversation asks: which text is routed, what goes on with an earlier question, and with whom it stays."""

from typing import Any

import pytest

from coe_ray.core.types import Call, Message
from coe_ray.routing.conversation import (
    CONTEXT_CHARS,
    QUESTION_CHARS,
    Conversation,
    ConversationMemory,
    exam_messages,
    is_follow_up,
    read_conversation,
    shorten,
)

TOPIC = "Why does the ingress answer 504 for the shop?"
EXAM = "Which command shows a container's exit code?\nA. docker inspect\nB. docker tag"
CALL = {"id": "c1", "type": "function", "function": {"name": "read_log", "arguments": "{}"}}


def turns(*messages: tuple[str, Any], **fields: Any) -> Call:
    """A client's request with these roles and contents; a content that is a dict is the message's other fields."""
    sent = [{"role": role, **(said if isinstance(said, dict) else {"content": said})} for role, said in messages]
    texts = [Message(each["role"], each.get("content") or "") for each in sent]
    return Call(tuple(texts), request={"messages": sent, **fields})


def talk(*texts: str, **fields: Any) -> Call:
    """User and assistant in turn, after a system prompt."""
    roles = ("user", "assistant") * len(texts)
    return turns(("system", "The shop runs in three zones."), *zip(roles, texts, strict=False), **fields)


class TestQuestion:
    def test_the_first_message_is_the_question(self) -> None:
        read = read_conversation(talk(TOPIC))
        assert (read.question.text, read.question.options, read.goes_on) == (TOPIC, (), False)

    @pytest.mark.parametrize(
        "follow_up", ["and why?", "Thanks!", "Can you explain that again, please?", "详细一点", "为什么？"]
    )
    def test_a_follow_up_goes_on_with_its_question(self, follow_up: str) -> None:
        assert is_follow_up(follow_up)
        read = read_conversation(talk(TOPIC, "The upstream is slow.", follow_up))
        assert (read.question.text, read.goes_on) == (TOPIC, True)

    @pytest.mark.parametrize("text", ["Why is node 7 down?", "Explain quorum", "为什么数据库连接失败？", "and 504?"])
    def test_what_names_a_topic_is_no_follow_up(self, text: str) -> None:
        assert not is_follow_up(text)

    def test_follow_ups_in_a_row_lead_back_to_the_topic(self) -> None:
        read = read_conversation(talk("Hello there, old pool", "Hi.", TOPIC, "Slow.", "why?", "Because.", "and then?"))
        assert read.question.text.startswith(TOPIC)
        assert read.goes_on

    def test_a_short_new_question_brings_the_turns_that_it_may_refer_to(self) -> None:
        read = read_conversation(talk("x" * 1000, "I see.", "Does the database matter there?"))
        assert not read.goes_on
        first, earlier = read.question.text.split("\n\n")
        assert first == "Does the database matter there?"
        assert "left out" in earlier
        assert len(earlier) < CONTEXT_CHARS + 100

    def test_a_pasted_log_behind_a_question_keeps_head_and_tail(self) -> None:
        log = "\n".join(f"ERROR shop-{number} 504" for number in range(60_000))
        read = read_conversation(talk(f"What breaks first?\n{log}"))
        assert len(log) > 1 << 20
        assert len(read.question.text) < QUESTION_CHARS + 100
        assert read.question.text.startswith("What breaks first?")
        assert read.question.text.endswith("ERROR shop-59999 504")

    def test_tool_results_and_system_prompts_are_no_part_of_it(self) -> None:
        call = turns(
            ("system", "The token is s3cret."), ("user", TOPIC), ("assistant", {"tool_calls": [CALL]}),
            ("tool", "password=hunter2 " * 1000),
        )  # fmt: skip
        read = read_conversation(call)
        assert (read.question.text, read.goes_on) == (TOPIC, True)

    def test_what_is_short_enough_is_not_shortened(self) -> None:
        assert shorten("abc", 3) == "abc"
        assert shorten("abcdef", 3) == "ab\n[… 3 characters left out …]\nf"


class TestExam:
    def test_a_question_with_options_and_nothing_else(self) -> None:
        question = read_conversation(talk(EXAM)).question
        assert (question.text, question.options) == (
            "Which command shows a container's exit code?",
            ("docker inspect", "docker tag"),
        )

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
    def test_lettered_lines_beside_a_request_are_none(self, text: str) -> None:
        read = read_conversation(talk("Our CNI is Calico.", "Noted.", text))
        assert read.question.options == ()
        assert read.question.text.startswith(text)

    @pytest.mark.parametrize(
        "fields", [{"tools": [{"type": "function"}]}, {"response_format": {"type": "json_object"}}], ids=str
    )
    def test_who_asks_for_tools_or_json_asks_no_exam(self, fields: dict[str, Any]) -> None:
        assert read_conversation(talk(EXAM, **fields)).question.options == ()

    def test_its_prompt_keeps_system_prompt_and_history(self) -> None:
        call = talk("Our CNI is Calico.", "Noted.", EXAM)
        prompt = [Message("system", "Choose."), Message("user", EXAM)]
        *before, last = exam_messages(call, prompt)
        assert call.request is not None
        assert before == call.request["messages"][:-1]
        assert last == {"role": "user", "content": f"Choose.\n\n{EXAM}"}
        alone = turns(("user", EXAM))
        assert [each["role"] for each in exam_messages(alone, prompt)] == ["system", "user"]


class TestMemory:
    def test_a_tool_loop_and_a_follow_up_stay_with_the_expert_that_answered(self) -> None:
        memory = ConversationMemory()
        asked: list[tuple[str, Any]] = [("user", TOPIC)]
        memory.remember(read_conversation(turns(*asked)), b"", "gauge")
        asked += [("assistant", {"content": None, "tool_calls": [CALL]}), ("tool", "504 since 9:12")]
        looped = read_conversation(turns(*asked))
        assert memory.find(looped, b"") == "gauge"
        memory.remember(looped, b"", "gauge")
        asked += [("assistant", "The pool is exhausted."), ("user", "and why?")]
        assert memory.find(read_conversation(turns(*asked)), b"") == "gauge"

    def test_another_conversation_with_the_same_follow_up_does_not(self) -> None:
        memory = ConversationMemory()
        memory.remember(read_conversation(talk(TOPIC)), b"", "gauge")
        assert memory.find(read_conversation(talk("Why is the queue full?", "It grew.", "and why?")), b"") is None

    def test_a_new_question_is_free_to_go_elsewhere(self) -> None:
        memory = ConversationMemory()
        memory.remember(read_conversation(talk(TOPIC)), b"s", "gauge")
        new = read_conversation(talk(TOPIC, "Slow.", "Which Terraform state lock is stale?"))
        assert memory.find(new, b"s") is None

    def test_a_session_is_known_where_the_history_was_rewritten(self) -> None:
        memory = ConversationMemory()
        memory.remember(read_conversation(talk(TOPIC)), b"session", "gauge")
        cut = read_conversation(turns(("user", "(summary of what was said)"), ("user", "go on")))
        assert memory.find(cut, b"") is None
        assert memory.find(cut, b"session") == "gauge"

    def test_nothing_is_remembered_of_a_job(self) -> None:
        memory, call = ConversationMemory(), Call((Message("user", TOPIC),))
        memory.remember(read_conversation(call), b"", "gauge")
        assert read_conversation(call).last_key == b""
        assert memory.find(Conversation(read_conversation(call).question, goes_on=True), b"") is None
