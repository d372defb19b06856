"""CompositionOfExperts: the DAG driver, the whole online flow in order.

    question → retrieval → classify → route → expert → answer

The same object runs in the endpoint's ingress and in a bench job's actors. It is itself a `ChatModel`.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeAlias, TypeVar

from coe_ray.core.chat_model import ChatModel
from coe_ray.core.errors import CallTimeout, ConfigError
from coe_ray.core.questions import make_question, split_options
from coe_ray.core.stages import stage
from coe_ray.core.types import Answer, Call, Classification, Completion, Delta, Message, Question, Route, SamplingParams
from coe_ray.profile.experts import ExpertConfig
from coe_ray.profile.profile import Profile
from coe_ray.retrieval.index import Retriever
from coe_ray.routing.classifier import Classifier
from coe_ray.routing.failover import ExpertAnswer, Failover
from coe_ray.routing.leaderboard import Leaderboard
from coe_ray.routing.parsing import likeliest_letter, parse_letter
from coe_ray.routing.prompts import answer_sentence, expert_prompt
from coe_ray.routing.router import choose_expert

Result = TypeVar("Result")

Shots: TypeAlias = Mapping[str, Sequence[Question]]
"""Solved questions by category, which a benchmark shows before each question of it."""

NEXT_TOKEN = SamplingParams(temperature=0.0, max_tokens=1)
TOP_LOGPROBS = 20
"""One token, and what else it could have been: 20 is the most that OpenAI's form, and vLLM, give."""


@dataclass(frozen=True, slots=True)
class Expert:
    """A model with a prompt style and decoding settings."""

    name: str
    model: ChatModel
    config: ExpertConfig
    shots: Shots = field(default_factory=dict)

    def call(self, question: Question, asked: Call) -> Call:
        """What the model is sent: prompt 2 for a question with options, else the client's messages unchanged."""
        config = self.config
        settings = config.settings.merge(asked.settings)
        if not question.options:
            return Call(asked.messages, settings, question=question)
        shots = self.shots.get(question.category or "", ())
        messages = expert_prompt(question, config.prompt, config.instruction, shots)
        if config.prompt == "next-token":
            return Call(messages, settings.merge(NEXT_TOKEN), question.letters, question, TOP_LOGPROBS)
        choices = tuple(map(answer_sentence, question.letters)) if config.constrained else ()
        return Call(messages, settings, choices, question)

    def read(self, question: Question, completion: Completion) -> Answer:
        """The answer in what the model said, or where it is scored by its next token in what it was about to say."""
        if self.config.prompt == "next-token":
            chances = likeliest_letter(completion.first_token, question.letters)
            if chances:
                return Answer(self.name, chances[0][0], "next token", completion, chances)
        letter = parse_letter(completion.text, question.letters)
        return Answer(self.name, letter.value, letter.rule, completion)


@dataclass(frozen=True, slots=True)
class Begun:
    """A stream whose first piece is there; `rest` is what follows it."""

    first: Delta
    rest: AsyncIterator[Delta]


class CompositionOfExperts:
    """Classify, route, answer. Of earlier questions it knows only which experts failed just now."""

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
        self._failover = Failover(
            profile.routing.failover_after_s, {name: config.model for name, config in profile.experts.items()}
        )
        self._classifier = Classifier(models[profile.classifier.model], profile.classifier, profile.task_list)

    async def classify(self, question: Question) -> Classification:
        """Stage one: retrieval, then the classifier."""
        with stage("retrieve"):
            neighbours = await self._retriever.nearest(question, self.profile.classifier.k)
        with stage("classify"):
            return await self._classifier.classify(question, neighbours)

    async def route(self, question: Question) -> Route:
        """The decision alone, with its reasons."""
        if self.leaderboard is None:
            raise ConfigError(
                f"profile {self.profile.name!r}: leaderboard.path is not set, so nothing can be routed; "
                "run jobs/bench.py, then jobs/leaderboard.py, and name the file"
            )
        classification = await self.classify(question)
        with stage("route"):
            return choose_expert(classification, self.leaderboard)

    async def ask(self, expert: str, question: Question) -> Answer:
        """One expert's answer to a multiple-choice question."""
        chosen = self.experts[expert]
        completion = await chosen.model.complete(chosen.call(question, Call(())))
        return chosen.read(question, completion)

    async def complete(self, call: Call) -> Completion:
        """The routed answer to a conversation."""
        _, completion = await self.answer(call)
        return completion

    async def stream(self, call: Call) -> AsyncIterator[Delta]:
        """The routed answer, piece by piece."""
        question = question_of_call(call)
        async with self.deadline() as ends_at:
            _, begun = await self.begin_by(await self.route(question), question, call, ends_at)
        yield begun.first
        async for delta in begun.rest:
            yield delta

    async def answer(self, call: Call) -> tuple[Route, Completion]:
        """The route taken and the expert's answer, within the profile's deadline."""
        question = question_of_call(call)
        async with self.deadline() as ends_at:
            return await self.complete_by(await self.route(question), question, call, ends_at)

    @asynccontextmanager
    async def deadline(self, limit_s: float = math.inf) -> AsyncIterator[float]:
        """`limit_s` or the profile's deadline, whichever is less: the time on the event loop's clock when it ends.

        Past it, what runs within is cancelled and `CallTimeout` raised.
        """
        limit = min(limit_s, self.profile.routing.deadline_s)
        ends_at = asyncio.get_running_loop().time() + limit
        try:
            async with asyncio.timeout_at(ends_at):
                yield ends_at
        except TimeoutError as error:
            raise CallTimeout(self.name, f"no answer within {limit:g} s") from error

    async def complete_by(
        self, decision: Route, question: Question, call: Call, ends_at: float
    ) -> tuple[Route, Completion]:
        """The answer of the best expert that gives one, and the route as it was taken. Raises `CallError`."""
        answered = await self._failover.first(
            decision.by_rank, lambda expert: self.complete_from(expert, question, call), ends_at
        )
        return _taken(decision, answered), answered.result

    async def begin_by(self, decision: Route, question: Question, call: Call, ends_at: float) -> tuple[Route, Begun]:
        """As `complete_by`, up to the first piece: once there is text, nobody else is asked."""
        answered = await self._failover.first(
            decision.by_rank, lambda expert: self.begin_from(expert, question, call), ends_at
        )
        return _taken(decision, answered), answered.result

    async def complete_from(self, expert: str, question: Question, call: Call) -> Completion:
        """The answer of a named expert. Raises `CallError`, which names the model behind it."""
        chosen = self.experts[expert]
        with stage("expert", expert=expert):
            return await chosen.model.complete(chosen.call(question, call))

    async def begin_from(self, expert: str, question: Question, call: Call) -> Begun:
        """As `complete_from`, up to the first piece."""
        chosen = self.experts[expert]
        with stage("expert", expert=expert):
            deltas = chosen.model.stream(chosen.call(question, call))
            return Begun(await anext(deltas), deltas)


def _taken(decision: Route, answered: ExpertAnswer[Result]) -> Route:
    """The route with who was asked. A frozen route that nothing was added to stays the same object."""
    if not answered.tried and answered.expert == decision.expert:
        return decision
    if answered.expert == decision.expert:
        return replace(decision, tried=answered.tried)
    reason = f"{decision.reason}; which cannot answer now, so the next by rank"
    return replace(decision, expert=answered.expert, tried=answered.tried, reason=reason)


def question_of_call(call: Call) -> Question:
    """The question of a conversation: its last user message, with the options found in it."""
    last = next((m for m in reversed(call.messages) if m.role == "user"), Message("user", ""))
    stem, options = split_options(last.content)
    return make_question(stem, options)


def check_leaderboard(leaderboard: Leaderboard, profile: Profile) -> Leaderboard:
    """The leaderboard's rows for the profile's experts. Raises `ConfigError` where an expert was never scored."""
    if missing := sorted(set(profile.experts) - set(leaderboard.experts)):
        raise ConfigError(
            f"profile {profile.name!r}: leaderboard {leaderboard.version} has no scores for {', '.join(missing)}; "
            "bench the profile and build its leaderboard again (jobs/bench.py, jobs/leaderboard.py)"
        )
    return leaderboard.narrowed(profile.experts)


def load_leaderboard(profile: Profile) -> Leaderboard | None:
    """The leaderboard that the profile names, if it names one."""
    return None if profile.leaderboard_file is None else Leaderboard.load(profile.leaderboard_file)
