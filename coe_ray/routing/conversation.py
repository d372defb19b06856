"""What is asked in a conversation: the question that is routed, and which expert it stays with.

    last user message with options and nothing else   → that exam question
    a new question                                     → its text, and if it is short the turns before it
    a short follow-up ("and why?"), or a tool's result → the question that it goes on with

System prompts and tool results are never part of the question: they say nothing about its task, and may hold secrets.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from cachetools import LRUCache

from coe_ray.core.abilities import needed_abilities
from coe_ray.core.questions import make_question, split_exam
from coe_ray.core.types import Call, Message, Question

QUESTION_CHARS = 6000
"""Characters of the question that are shown to the classifier, at most: its head and its tail."""

RETRIEVED_CHARS = 1000
"""Characters that are retrieved by, at most: about the 256 tokens that MiniLM reads."""

CONTEXT_CHARS = 300
"""Characters of each earlier turn."""

SELF_CONTAINED_CHARS = 400
"""A question of this length is taken to need no earlier turn to be understood."""

EARLIER_TURNS = 2

FOLLOW_UP_CHARS = 60

MAX_REMEMBERED = 100_000
"""Conversations whose expert is remembered, about 200 bytes each; the least recently used ones go first."""

_WORD = re.compile(r"[^\W\d_]+")
_CJK = re.compile(r"[\u3400-\u9fff]")
_NO_TOPIC = frozenset(
    """
    a about again also an and another any anything are as be better briefly but can clarify clear continue could
    deeper detail details different do does done elaborate else english etc exactly example examples expand
    explain first for from further get give go going good great happens has have how i if in instead is it its
    just last longer make me mean means more much my next no not now of ok okay on one only or other others
    perfect please really repeat rephrase reword right same say second see short shorter should show simple
    simpler so some still sure tell thank thanks that the them then there these they thing this those to too try
    understand us use very was way we well were what when where which who why will with would wrong yes you your
    """.split()  # noqa: SIM905  # a list of quoted words is no easier to read
)
_NO_TOPIC_CHINESE = re.compile(
    r"[,，。.!！?？、\s]|为什么|为何|怎么(?:办|做|样|说)?|什么意思|继续|然后|接着|还有(?:呢|吗)?|谢谢|多谢|好的?|明白|懂|请|详细|具体|"
    r"一?点|一下|解释|说明|举个?|例子|举例|再|更|简短|简单|用中文|用英文|那|这|个|些|它|呢|吗|吧|了|的|是|说|可以|能|不|对|我|你|给"
)


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation as it is routed. `question` is what retrieval and classifier read.

    `goes_on`: a tool loop or a follow-up, which stays with the expert of `key`. `last_key` is what the answer to this
    request is remembered under.
    """

    question: Question
    goes_on: bool = False
    _call: Call = Call(())
    _ends: tuple[int, int] = (0, 0)
    _client: str = ""

    # Hashed where they are asked for: a request that names its expert needs none.
    @property
    def key(self) -> bytes:
        return _prefix_key(self._call, self._ends[0], self._client) if self.goes_on else b""

    @property
    def last_key(self) -> bytes:
        return _prefix_key(self._call, self._ends[1], self._client) if self._call.request else b""


def read_conversation(call: Call, client: str = "") -> Conversation:
    """The question of a conversation, and whether it goes on with an earlier one.

    `client` is the name of its key: two clients' conversations have different keys, though they begin alike.
    """
    asked = [index for index, message in enumerate(call.messages) if message.role == "user"]
    if not asked:
        return Conversation(make_question(""))
    texts = [call.messages[index].content for index in asked]
    topic = _find_topic(texts)
    in_tool_loop = any(message.role == "tool" for message in call.messages[asked[-1] + 1 :])
    goes_on = in_tool_loop or topic < len(texts) - 1
    previous = asked[-1] if in_tool_loop else asked[-2] if len(asked) > 1 else asked[-1]
    question = None if goes_on else _read_exam(call, texts[-1])
    return Conversation(
        question or make_question(_compose(texts[: topic + 1])),
        goes_on,
        call,
        (previous + 1, asked[-1] + 1),
        client,
    )


class ConversationMemory:
    """Which expert answered a conversation last, in this process."""

    def __init__(self) -> None:
        self._experts: LRUCache[bytes, str] = LRUCache(MAX_REMEMBERED)

    def find(self, conversation: Conversation, session: bytes) -> str | None:
        """The expert that a conversation stays with; `None` for a new question and where it is not known."""
        if not conversation.goes_on:
            return None
        return self._experts.get(session) or self._experts.get(conversation.key)

    def remember(self, conversation: Conversation, session: bytes, expert: str) -> None:
        for key in {conversation.last_key, session} - {b""}:
            self._experts[key] = expert


def shorten(text: str, limit: int) -> str:
    """`text` with at most about `limit` characters: a head, a tail twice as short, and how much is left out."""
    if len(text) <= limit:
        return text
    tail = limit // 3
    head = limit - tail
    return f"{text[:head]}\n[… {len(text) - limit} characters left out …]\n{text[len(text) - tail :]}"


def is_follow_up(text: str) -> bool:
    """Whether a message is short and names nothing to be asked about: "and why?", "thanks", "详细一点"."""
    text = text.strip()
    if len(text) > FOLLOW_UP_CHARS or any(map(str.isdigit, text)):
        return False
    if _CJK.search(text):
        text = _NO_TOPIC_CHINESE.sub("", text)
    return all(word.casefold() in _NO_TOPIC for word in _WORD.findall(text))


def _find_topic(texts: Sequence[str]) -> int:
    """Index of the last message that is no follow-up; the first message never is one."""
    return next((index for index in reversed(range(1, len(texts))) if not is_follow_up(texts[index])), 0)


def _compose(texts: Sequence[str]) -> str:
    """The last text, and before a short one what it may refer to: the user's turns before it."""
    *earlier, last = texts
    if not earlier or len(last) >= SELF_CONTAINED_CHARS:
        return shorten(last, QUESTION_CHARS)
    context = [shorten(text, CONTEXT_CHARS) for text in earlier if not is_follow_up(text)][-EARLIER_TURNS:]
    return "\n\n".join([last, *reversed(context)])


def _read_exam(call: Call, text: str) -> Question | None:
    """The exam question that the last message is; `None` where it is none, or where more is asked for."""
    if call.messages[-1].role != "user" or needed_abilities(call) != {"text"}:
        return None
    exam = split_exam(text)
    return make_question(*exam) if exam else None


def _prefix_key(call: Call, end: int, client: str) -> bytes:
    """Hash of the client and the first messages, as it sent them."""
    messages: Sequence[Any] = call.request["messages"] if call.request else call.messages
    return hashlib.blake2b(orjson.dumps([client, messages[:end]]), digest_size=16).digest()


def exam_messages(call: Call, prompt: Sequence[Message]) -> list[Any]:
    """A client's messages with an exam's prompt in the place of the last one.

    Behind a system prompt or earlier turns the prompt is one user message: many models take no second system prompt.
    """
    before = list(call.request["messages"][:-1]) if call.request else []
    if before:
        prompt = [Message("user", f"{prompt[0].content}\n\n{prompt[-1].content}")]
    return [*before, *({"role": message.role, "content": message.content} for message in prompt)]
