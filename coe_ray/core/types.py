"""The vocabulary that all rooms share: frozen values without behaviour, which Ray, Parquet and JSON carry unchanged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

UNKNOWN = "unknown"
"""The class beyond the task list: the question fits none of the tasks (eq. 7)."""

LETTERS = "ABCDEFGHIJ"

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
Outcome: TypeAlias = Literal["correct", "wrong", "unparsed", "refused", "failed"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
Language: TypeAlias = Literal["english", "chinese"]


@dataclass(frozen=True, slots=True)
class Task:
    """Task: a class of questions with a name and one line that tells a classifier what belongs there."""

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Question:
    """Question: `text` without its options, which carry the letters A, B, C, … in order.

    `id` is the hash of its content; `task`, `answer` (a letter) and `category` (the file it comes from, such as
    `english/LogParser`) are known only for benchmark questions.
    """

    id: str
    text: str
    options: tuple[str, ...] = ()
    answer: str | None = None
    task: str | None = None
    language: Language = "english"
    category: str | None = None

    @property
    def letters(self) -> tuple[str, ...]:
        return tuple(LETTERS[: len(self.options)])

    @property
    def full_text(self) -> str:
        """The question with its lettered options, one a line: what is encoded and shown."""
        options = (f"{letter}. {option}" for letter, option in zip(self.letters, self.options, strict=True))
        return "\n".join([self.text, *options])


@dataclass(frozen=True, slots=True)
class Message:
    """The text of one turn of a conversation, in OpenAI's words."""

    role: Role
    content: str


def _as_tuple(stop: object) -> object:
    """OpenAI's form takes one text or a list of them, or null."""
    if stop is None or isinstance(stop, str):
        return (stop,) if stop else ()
    return tuple(stop) if isinstance(stop, list) else stop


class SamplingParams(BaseModel):
    """Sampling parameters of one call, in OpenAI's words; `None` leaves the model's default.

    The one definition of them: profiles hold these objects, and chat requests inherit the fields.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    stop: Annotated[
        tuple[str, ...], BeforeValidator(_as_tuple, json_schema_input_type=str | tuple[str, ...] | None)
    ] = ()
    seed: int | None = Field(default=None, ge=-(2**63), le=2**63 - 1)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)

    def set_values(self) -> dict[str, Any]:
        """Only what is set, by name."""
        return self.model_dump(include=set(SamplingParams.model_fields), exclude_defaults=True)

    def merge(self, other: "SamplingParams") -> "SamplingParams":
        """These parameters with everything that `other` sets put on top."""
        return SamplingParams(**self.set_values() | other.set_values()) if other.model_fields_set else self


@dataclass(frozen=True, slots=True)
class Call:
    """One request to one model.

    `choices` closes the reply to these texts where the engine can (structured outputs). `question` rides along
    for models that are not LLMs: they read the question, not the prompt. `top_logprobs` asks for so many of the
    likeliest tokens at each place, with their log-probabilities.

    `request` is the body of a client's request, which is passed on as it came and wins over `settings`: messages with
    tools and images, and fields that only the provider knows. `messages` then holds their text. Jobs have none.
    """

    messages: tuple[Message, ...]
    settings: SamplingParams = SamplingParams()
    choices: tuple[str, ...] = ()
    question: Question | None = None
    top_logprobs: int = 0
    request: Mapping[str, Any] | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """What is sent beside model and messages, in OpenAI's form."""
        own = self.settings.set_values()
        if self.top_logprobs:
            own |= {"logprobs": True, "top_logprobs": self.top_logprobs}
        if self.request is None:
            return own
        if "max_completion_tokens" in self.request:
            own.pop("max_tokens", None)
        return own | {name: value for name, value in self.request.items() if name not in _OURS}

    def body(self, model: str) -> dict[str, Any]:
        """The request's body in OpenAI's form."""
        messages: Sequence[Any]
        if self.request is None:
            messages = [{"role": message.role, "content": message.content} for message in self.messages]
        else:
            messages = self.request["messages"]
        return {"model": model, "messages": messages, **self.parameters}


_OURS = frozenset({"model", "messages", "stream"})
"""Fields of a client's request that are not sent on: each model has its own."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call; zero where the model does not count them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's answer. `refusal` is set where it declined to answer; `attempts` counts the tries it took.

    `first_token` holds the likeliest first tokens with their log-probabilities, where the call asked for them.
    `reply` is the provider's whole reply as it came, for a call that passes a client's request on.
    """

    text: str
    finish_reason: str = "stop"
    usage: Usage = Usage()
    refusal: str | None = None
    attempts: int = 1
    seconds: float = 0.0
    first_token: tuple[tuple[str, float], ...] = ()
    reply: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a streamed completion; `finish_reason` and `usage` come with the last one.

    `event` is the provider's chunk as it came, where the piece is one: its text may be empty beside tool calls or
    reasoning.
    """

    text: str
    finish_reason: str | None = None
    usage: Usage | None = None
    event: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A labelled question similar to the one asked: inner product and its softmax weight (eqs. 10 to 12)."""

    question_id: str
    text: str
    task: str
    similarity: float
    weight: float


@dataclass(frozen=True, slots=True)
class Classification:
    """The task of a question: one of the list, or `UNKNOWN`; `raw` is the model's text.

    `confidence` is the softmax weight of the neighbours with this label (0 without retrieval). Where that was high
    enough, `by` is "neighbours": the LLM was not called, and `raw` is empty. So it is where the LLM failed a live
    question; `fallback` is the class of its error then. `by` is "client" where the request names its task, and
    "conversation" where the question goes on with an earlier one.
    """

    task: str
    rule: str
    raw: str
    confidence: float
    neighbours: tuple[Neighbour, ...] = ()
    by: Literal["llm", "neighbours", "client", "conversation"] = "llm"
    fallback: str | None = None
    usage: Usage = Usage()
    attempts: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RankedExpert:
    """One expert's place on a leaderboard row: accuracy in [0, 1] with its counts (`total` 0: an average)."""

    expert: str
    accuracy: float
    correct: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """An expert that was called and failed: the error's class and message, and after how many seconds."""

    expert: str
    error: str
    message: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Route:
    """The routing decision, with its reasons. `row` is the leaderboard's row, best first.

    `expert` is the one that answers: the best of the row, or the next after those that were `tried` and failed.
    `cached`: the decision was made for the same question earlier.
    """

    expert: str
    classification: Classification
    row: tuple[RankedExpert, ...]
    reason: str
    leaderboard: str
    tried: tuple[Attempt, ...] = ()
    cached: bool = False

    @property
    def by_rank(self) -> tuple[str, ...]:
        """The experts in the order in which they are called: `expert`, then the others of the row, best first."""
        return (self.expert, *(ranked.expert for ranked in self.row if ranked.expert != self.expert))

    @property
    def runner_up(self) -> RankedExpert | None:
        return self.row[1] if len(self.row) > 1 else None

    @property
    def margin(self) -> float:
        """Accuracy of the best expert over the runner-up's, in [0, 1]."""
        return self.row[0].accuracy - self.row[1].accuracy if len(self.row) > 1 else 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An expert's answer to one question: the letter parsed from its text (`None`: unparsed) and the text.

    `chances` are the letters' probabilities among themselves, where the next token is the answer.
    """

    expert: str
    letter: str | None
    rule: str
    completion: Completion
    chances: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Provenance:
    """Provenance of figures: the run, its data, and when and with which profile and commit it was made."""

    run: str = ""
    data: str = ""
    split: str = ""
    profile: str = ""
    created: str = ""
    commit: str = ""
