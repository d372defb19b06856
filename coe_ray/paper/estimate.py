"""What a study would call, before it calls anything: calls, tokens, cost at most, and the GPUs of what is hosted."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from coe_ray.bench.worker import ExtraClassifier
from coe_ray.core.types import Call, Message, Neighbour, Question
from coe_ray.paper.plan_calls import StudyPlan
from coe_ray.profile.models import VllmModel
from coe_ray.profile.profile import Profile
from coe_ray.routing.pipeline import Expert
from coe_ray.routing.prompts import classifier_prompt

COLUMNS = ("model", "kind", "calls", "prompt tokens, about", "completion tokens, at most", "cost, at most", "GPUs")

_CJK = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
CHARACTERS_A_TOKEN = 4
"""Of English, about; a Chinese character is taken for a token. An estimate, before the models have told."""


@dataclass(slots=True)
class Load:
    """What one model is to be asked. `completion_tokens` are the most that its settings allow; `None`: no limit set."""

    kind: str
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int | None = 0
    cost_at_most: float | None = None
    gpus: float = 0.0
    nodes_with: str = ""
    asked_as: set[str] = field(default_factory=set)


def estimate_loads(asked: StudyPlan) -> dict[str, Load]:
    """By model; of a call that several systems share (the same prompt to the same model) each counts, so at most."""
    profile = asked.asked
    found = {name: _load(profile, name) for name in _models(asked)}
    for question in asked.questions:
        for name, config in profile.experts.items():
            call = Expert(name, None, config, asked.shots).call(question, Call(()))  # type: ignore[arg-type]
            _count(found[config.model], name, call.messages, call.settings.max_tokens)
        for label, labeller in asked.labellers.items():
            classifier = labeller.profile.classifier
            _count(found[classifier.model], label, _prompt(labeller, question), classifier.settings.max_tokens)
    for name, load in found.items():
        load.cost_at_most = _cost(profile, name, load)
    return found


def _models(asked: StudyPlan) -> list[str]:
    experts = [each.model for each in asked.asked.experts.values()]
    return list(dict.fromkeys([*experts, *(each.profile.classifier.model for each in asked.labellers.values())]))


def _load(profile: Profile, name: str) -> Load:
    config = profile.models[name]
    load = Load(config.kind)
    if isinstance(config, VllmModel):
        load.gpus = config.scaling.min_replicas * sum(bundle.get("GPU", 0.0) for bundle in config.bundles)
        load.nodes_with = f"{len(config.bundles)} × {config.accelerator or 'GPU'}, {config.placement_strategy}"
    return load


def _prompt(labeller: ExtraClassifier, question: Question) -> tuple[Message, ...]:
    """The classifier's prompt, with the first examples in the place of the nearest: their lengths are alike."""
    config = labeller.profile.classifier
    near = [Neighbour(each.id, each.full_text, each.task or "", 0, 0) for each in labeller.examples[: config.k]]
    tasks = labeller.profile.task_list
    return classifier_prompt(question, tasks, near, config.example_chars, config.instruction)


def _count(load: Load, name: str, messages: Iterable[Message], most: int | None) -> None:
    load.asked_as.add(name)
    load.calls += 1
    load.prompt_tokens += sum(tokens_of(message.content) for message in messages)
    load.completion_tokens = None if most is None or load.completion_tokens is None else load.completion_tokens + most


def tokens_of(text: str) -> int:
    """About so many tokens."""
    chinese = len(_CJK.findall(text))
    return chinese + -(-(len(text) - chinese) // CHARACTERS_A_TOKEN)


def _cost(profile: Profile, name: str, load: Load) -> float | None:
    if load.completion_tokens is None:
        return None
    return profile.token_cost(name, load.prompt_tokens, load.completion_tokens)


def rows(by_model: Mapping[str, Load]) -> Sequence[tuple[str, ...]]:
    """As text, a row a model and one for all."""
    shown = []
    for name, load in by_model.items():
        price = "–" if load.cost_at_most is None else f"{load.cost_at_most:.2f}"
        most = "no limit" if load.completion_tokens is None else f"{load.completion_tokens:,}"
        cards = f"{load.gpus:g} ({load.nodes_with})" if load.gpus else "–"
        shown.append((name, load.kind, f"{load.calls:,}", f"{load.prompt_tokens:,}", most, price, cards))
    everything = by_model.values()
    calls, prompt = sum(each.calls for each in everything), sum(each.prompt_tokens for each in everything)
    priced, gpus = (
        [each.cost_at_most for each in everything if each.cost_at_most],
        sum(each.gpus for each in everything),
    )
    return [*shown, ("all", "", f"{calls:,}", f"{prompt:,}", "", f"{sum(priced):.2f}" if priced else "–", f"{gpus:g}")]
