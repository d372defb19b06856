"""Pipeline of a question: retrieval → classify → route → expert → answer.

The same object runs in the endpoint's ingress and in a bench job's actors. It is itself a `ChatModel`.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeAlias, TypeVar

from coe_ray.core.abilities import ALL_ABILITIES, Ability, estimate_tokens, needed_abilities
from coe_ray.core.chat_model import ChatModel
from coe_ray.core.errors import BadCall, CallTimeout, CannotAnswer, ConfigError
from coe_ray.core.stages import stage
from coe_ray.core.types import (
    UNKNOWN,
    Answer,
    Call,
    Classification,
    Completion,
    Delta,
    Question,
    Route,
    SamplingParams,
)
from coe_ray.profile.experts import ExpertConfig
from coe_ray.profile.profile import Profile
from coe_ray.retrieval.index import Retriever
from coe_ray.routing.classifier import Classifier
from coe_ray.routing.conversation import RETRIEVED_CHARS, exam_messages, read_conversation, shorten
from coe_ray.routing.failover import ExpertAnswer, Failover
from coe_ray.routing.leaderboard import Leaderboard
from coe_ray.routing.parsing import likeliest_letter, parse_letter
from coe_ray.routing.prompts import answer_sentence, expert_prompt
from coe_ray.routing.router import choose_expert, narrow_route

Result = TypeVar("Result")

Shots: TypeAlias = Mapping[str, Sequence[Question]]
"""Solved questions by category, shown before each question of that category."""

NEXT_TOKEN = SamplingParams(temperature=0.0, max_tokens=1)
_OF_ONE_TOKEN = frozenset({"max_tokens", "max_completion_tokens", "temperature", "logprobs", "top_logprobs"})
TOP_LOGPROBS = 20
"""One token, and what else it could have been: 20 is the most that OpenAI's form, and vLLM, give."""


@dataclass(frozen=True, slots=True)
class Expert:
    """A model with a prompt style and decoding settings."""

    name: str
    model: ChatModel
    config: ExpertConfig
    shots: Shots = field(default_factory=dict)

    def make_call(self, question: Question, call: Call) -> Call:
        """The call to the model: prompt 2 for a question with options, else the client's messages unchanged."""
        config = self.config
        if not question.options:
            settings = config.free_text_settings.merge(call.settings)
            return replace(call, settings=settings, question=question)
        settings, request = config.settings.merge(call.settings), call.request
        shots = self.shots.get(question.category or "", ())
        messages = expert_prompt(question, config.prompt, config.instruction, shots)
        if request is not None:
            request = {**request, "messages": exam_messages(call, messages)}
        if config.prompt == "next-token":
            if request is not None:
                request = {name: value for name, value in request.items() if name not in _OF_ONE_TOKEN}
            settings = settings.merge(NEXT_TOKEN)
            return Call(messages, settings, question.letters, question, TOP_LOGPROBS, request)
        choices = tuple(map(answer_sentence, question.letters)) if config.constrained else ()
        return Call(messages, settings, choices, question, request=request)

    def missing_abilities(self, call: Call, needed: frozenset[Ability]) -> list[str]:
        """What this expert lacks to read `call`, which needs these abilities; empty where it can read it."""
        missing: list[str] = sorted(needed - self.reads)
        if (limit := self.config.context_tokens) and estimate_tokens(call) > limit:
            missing.append(f"a context of more than {limit} tokens")
        return missing

    @property
    def reads(self) -> frozenset[Ability]:
        """What the profile says, or else the model."""
        own: frozenset[Ability] = getattr(self.model, "reads", ALL_ABILITIES)
        return own if self.config.reads is None else frozenset(self.config.reads)

    def read_answer(self, question: Question, completion: Completion) -> Answer:
        """The answer: from the text, or with the prompt `next-token` from the first token's alternatives."""
        chances = likeliest_letter(completion.first_token, question.letters)
        if self.config.prompt == "next-token" and chances:
            return Answer(self.name, chances[0][0], "next token", completion, chances)
        letter = parse_letter(completion.text, question.letters)
        return Answer(self.name, letter.value, letter.rule, completion)


@dataclass(frozen=True, slots=True)
class StartedStream:
    """A stream whose first delta has arrived; `rest` are the others."""

    first: Delta
    rest: AsyncIterator[Delta]


class CompositionOfExperts:
    """Pipeline of one profile. Its only state over questions is which experts failed just now."""

    name = "coe"

    def __init__(
        self,
        profile: Profile,
        models: Mapping[str, ChatModel],
        retriever: Retriever,
        leaderboard: Leaderboard | None,
        shots: Shots = MappingProxyType({}),
    ) -> None:
        self.profile = profile
        self.leaderboard = None if leaderboard is None else check_leaderboard(leaderboard, profile)
        self.experts = {
            name: Expert(name, models[config.model], config, shots) for name, config in profile.experts.items()
        }
        self._retriever = retriever
        served_by = {name: config.model for name, config in profile.experts.items()}
        self._failover = Failover(profile.routing.failover_after_s, served_by)
        self._classifier = Classifier(models[profile.classifier.model], profile.classifier, profile.task_list)

    async def classify(self, question: Question) -> Classification:
        """Retrieval, then the classifier."""
        with stage("retrieve"):
            neighbours = await self._retriever.nearest(question, self.profile.classifier.k)
        with stage("classify"):
            return await self._classifier.classify(question, neighbours)

    async def classify_live(self, question: Question) -> Classification:
        """As `classify`, by the neighbours alone where the LLM fails or is slow."""
        # What is asked stands before or behind a pasted log, and the encoder reads no more than this.
        text = question.text if question.options else shorten(question.text, RETRIEVED_CHARS)
        with stage("retrieve"):
            neighbours = await self._retriever.nearest(replace(question, text=text), self.profile.classifier.k)
        with stage("classify"):
            return await self._classifier.classify_live(question, neighbours)

    def name_task(self, task: str) -> Classification:
        """The classification by a client that knows its task. Raises `BadCall` for a task that is not on the list."""
        names = [each.name for each in self.profile.task_list]
        if task not in (*names, UNKNOWN):
            raise BadCall(self.name, f"no task {task!r}; there are: {', '.join(names)}", status=400, attempts=0)
        return Classification(task, "named by the client", "", 1.0, by="client")

    async def route(self, question: Question, classification: Classification | None = None) -> Route:
        """The routing decision with its reason. Raises `ConfigError` where the profile has no leaderboard."""
        if self.leaderboard is None:
            raise ConfigError(
                f"profile {self.profile.name!r}: leaderboard.path is not set, so nothing can be routed; "
                "run `coe-ray bench`, then `coe-ray leaderboard`, and name the file"
            )
        classification = classification or await self.classify_live(question)
        with stage("route"):
            return choose_expert(classification, self.leaderboard)

    def find_readers(self, call: Call, experts: Collection[str] | None = None) -> tuple[str, ...]:
        """The experts (of these) that can read `call`. Raises `BadCall` that says what is missing where none can."""
        needed = needed_abilities(call)
        missing = {name: self.experts[name].missing_abilities(call, needed) for name in experts or self.experts}
        if readers := tuple(name for name, lacking in missing.items() if not lacking):
            return readers
        if len(missing) == 1:
            [(name, lacking)] = missing.items()
            raise BadCall(name, f"does not read {', '.join(lacking)}, which this request needs", status=400, attempts=0)
        lacks = "; ".join(f"{name} does not read {', '.join(lacking)}" for name, lacking in missing.items())
        raise BadCall(self.name, f"no expert can read this request: {lacks}", status=400, attempts=0)

    async def answer_question(self, expert: str, question: Question) -> Answer:
        """One expert's answer to a multiple-choice question; one that abstains has no letter."""
        chosen = self.experts[expert]
        try:
            completion = await chosen.model.complete(chosen.make_call(question, Call(())))
        except CannotAnswer as error:
            return Answer(expert, None, "cannot answer", Completion(error.message, attempts=error.attempts))
        return chosen.read_answer(question, completion)

    async def complete(self, call: Call) -> Completion:
        """The routed answer to a conversation."""
        return (await self.answer(call))[1]

    async def stream(self, call: Call) -> AsyncIterator[Delta]:
        """The routed answer as deltas."""
        question = read_conversation(call).question
        async with self.deadline() as ends_at:
            _, started = await self.stream_routed(await self._route_call(call, question), question, call, ends_at)
        yield started.first
        async for delta in started.rest:
            yield delta

    async def answer(self, call: Call) -> tuple[Route, Completion]:
        """The route taken and the expert's answer, within the profile's deadline."""
        question = read_conversation(call).question
        async with self.deadline() as ends_at:
            return await self.complete_routed(await self._route_call(call, question), question, call, ends_at)

    async def _route_call(self, call: Call, question: Question) -> Route:
        readers = self.find_readers(replace(call, question=question))
        return narrow_route(await self.route(question), readers)

    @asynccontextmanager
    async def deadline(self, limit_s: float = math.inf) -> AsyncIterator[float]:
        """Context that ends after `limit_s` or the profile's deadline, whichever is less; gives the end's loop time.

        Past it, the body is cancelled and `CallTimeout` raised.
        """
        limit = min(limit_s, self.profile.routing.deadline_s)
        ends_at = asyncio.get_running_loop().time() + limit
        try:
            async with asyncio.timeout_at(ends_at):
                yield ends_at
        except TimeoutError as error:
            raise CallTimeout(self.name, f"no answer within {limit:g} s") from error

    async def complete_routed(
        self, decision: Route, question: Question, call: Call, ends_at: float
    ) -> tuple[Route, Completion]:
        """The answer of the best expert that gives one, and the route as taken. Raises `CallError`."""
        answer = await self._failover.first_answer(
            decision.by_rank, lambda expert: self.complete_with(expert, question, call), ends_at, is_whole=True
        )
        return _route_taken(decision, answer), answer.result

    async def stream_routed(
        self, decision: Route, question: Question, call: Call, ends_at: float
    ) -> tuple[Route, StartedStream]:
        """As `complete_routed`, up to the first delta: once there is text, no other expert is called."""
        answer = await self._failover.first_answer(
            decision.by_rank, lambda expert: self.stream_with(expert, question, call), ends_at
        )
        return _route_taken(decision, answer), answer.result

    async def complete_with(self, expert: str, question: Question, call: Call) -> Completion:
        """The answer of a named expert. Raises `CallError`, which names its model."""
        chosen = self.experts[expert]
        with stage("expert", expert=expert):
            return await chosen.model.complete(chosen.make_call(question, call))

    async def stream_with(self, expert: str, question: Question, call: Call) -> StartedStream:
        """As `complete_with`, up to the first delta."""
        chosen = self.experts[expert]
        with stage("expert", expert=expert):
            deltas = chosen.model.stream(chosen.make_call(question, call))
            return StartedStream(await anext(deltas), deltas)


def _route_taken(decision: Route, answer: ExpertAnswer[Result]) -> Route:
    """The decision with the expert that answered and the failed attempts; the same object where nothing changed."""
    if answer.expert != decision.expert:
        reason = f"{decision.reason}; which cannot answer now, so the next by rank"
        return replace(decision, expert=answer.expert, tried=answer.tried, reason=reason)
    return replace(decision, tried=answer.tried) if answer.tried else decision


def check_leaderboard(leaderboard: Leaderboard, profile: Profile) -> Leaderboard:
    """The leaderboard's rows for the profile's experts. Raises `ConfigError` where an expert was never scored."""
    if missing := sorted(set(profile.experts) - set(leaderboard.experts)):
        raise ConfigError(
            f"profile {profile.name!r}: leaderboard {leaderboard.version} has no scores for {', '.join(missing)}; "
            "bench the profile and build its leaderboard again (`coe-ray bench`, `coe-ray leaderboard`)"
        )
    return leaderboard.narrowed(profile.experts)


def load_leaderboard(profile: Profile) -> Leaderboard | None:
    """The profile's leaderboard; `None` where it names none."""
    return None if profile.leaderboard_file is None else Leaderboard.load(profile.leaderboard_file)
