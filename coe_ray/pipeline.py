"""CompositionOfExperts: the DAG driver, the whole online flow in order.

    question → retrieval → classify → route → expert → answer

The same object runs in the endpoint's ingress and in a bench job's actors. It is itself a `ChatModel`.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from coe_ray.chat import ChatModel
from coe_ray.classify import Classifier
from coe_ray.config import ExpertConfig, Profile
from coe_ray.errors import CallTimeout, ConfigError
from coe_ray.leaderboard import Leaderboard
from coe_ray.parsing import parse_letter
from coe_ray.prompts import answer_sentence, expert_prompt
from coe_ray.questions import make_question, split_options
from coe_ray.retrieval import Retriever
from coe_ray.route import route
from coe_ray.types import Answer, Call, Classification, Completion, Delta, Message, Question, Route


@dataclass(frozen=True, slots=True)
class Expert:
    """A model with a prompt style and decoding settings."""

    name: str
    model: ChatModel
    config: ExpertConfig

    def call(self, question: Question, asked: Call) -> Call:
        """What the model is sent: prompt 2 for a question with options, else the client's messages unchanged."""
        settings = self.config.settings.settings().overridden(asked.settings)
        if not question.options:
            return Call(asked.messages, settings, question=question)
        choices = tuple(map(answer_sentence, question.letters)) if self.config.constrained else ()
        return Call(expert_prompt(question, self.config.prompt), settings, choices, question)


class CompositionOfExperts:
    """Classify, route, answer. Holds no state of its own beyond what it was made with."""

    name = "coe"

    def __init__(
        self,
        profile: Profile,
        models: Mapping[str, ChatModel],
        retriever: Retriever,
        leaderboard: Leaderboard | None,
    ) -> None:
        self.profile = profile
        self.leaderboard = None if leaderboard is None else checked_leaderboard(leaderboard, profile)
        self.experts = {name: Expert(name, models[config.model], config) for name, config in profile.experts.items()}
        self._retriever = retriever
        self._classifier = Classifier(models[profile.classifier.model], profile.classifier, profile.task_list)

    async def classify(self, question: Question) -> Classification:
        """Stage one: retrieval, then the classifier."""
        neighbours = await self._retriever.nearest(question, self.profile.classifier.k)
        return await self._classifier.classify(question, neighbours)

    async def route(self, question: Question) -> Route:
        """The decision alone, with its reasons."""
        if self.leaderboard is None:
            raise ConfigError(
                f"profile {self.profile.name!r}: leaderboard.path is not set, so nothing can be routed; "
                "run jobs/bench.py, then jobs/leaderboard.py, and name the file"
            )
        return route(await self.classify(question), self.leaderboard)

    async def ask(self, expert: str, question: Question) -> Answer:
        """One expert's answer to a multiple-choice question."""
        chosen = self.experts[expert]
        completion = await chosen.model.complete(chosen.call(question, Call(())))
        letter = parse_letter(completion.text, question.letters)
        return Answer(expert, letter.value, letter.rule, completion)

    async def complete(self, call: Call) -> Completion:
        """The routed answer to a conversation."""
        _, completion = await self.answer(call)
        return completion

    async def stream(self, call: Call) -> AsyncIterator[Delta]:
        """The routed answer, piece by piece."""
        question = asked_question(call)
        decision = await self.route(question)
        async for delta in self.stream_from(decision.expert, question, call):
            yield delta

    async def answer(self, call: Call) -> tuple[Route, Completion]:
        """The route taken and the expert's answer, within the profile's deadline."""
        question = asked_question(call)
        async with self.deadline():
            decision = await self.route(question)
            return decision, await self.complete_from(decision.expert, question, call)

    @asynccontextmanager
    async def deadline(self) -> AsyncIterator[None]:
        """The profile's deadline for one question; past it, what runs within ends with `CallTimeout`."""
        limit = self.profile.routing.deadline_s
        try:
            async with asyncio.timeout(limit):
                yield
        except TimeoutError as error:
            raise CallTimeout(self.name, f"no answer within {limit:g} s") from error

    async def complete_from(self, expert: str, question: Question, call: Call) -> Completion:
        """The answer of a named expert. Raises `CallError`, which names the model behind it."""
        chosen = self.experts[expert]
        return await chosen.model.complete(chosen.call(question, call))

    async def stream_from(self, expert: str, question: Question, call: Call) -> AsyncIterator[Delta]:
        """As `complete_from`, piece by piece."""
        chosen = self.experts[expert]
        async for delta in chosen.model.stream(chosen.call(question, call)):
            yield delta


def asked_question(call: Call) -> Question:
    """The question of a conversation: its last user message, with the options found in it."""
    last = next((m for m in reversed(call.messages) if m.role == "user"), Message("user", ""))
    stem, options = split_options(last.content)
    return make_question(stem, options)


def checked_leaderboard(leaderboard: Leaderboard, profile: Profile) -> Leaderboard:
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
