"""Estimate of a study before it calls anything: calls, tokens, cost at most, and the GPUs of the hosted models."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from coe_ray.analysis.tables import NONE, Table
from coe_ray.bench.worker import ExtraClassifier
from coe_ray.core.types import Call, Message, Neighbour, Question
from coe_ray.paper.study_plan import StudyPlan
from coe_ray.profile.models import VllmModel
from coe_ray.profile.profile import Profile
from coe_ray.routing.pipeline import Expert
from coe_ray.routing.prompts import classifier_prompt

COLUMNS = ("model", "kind", "calls", "prompt tokens, about", "completion tokens, at most", "cost, at most", "GPUs")

_CJK = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
CHARACTERS_A_TOKEN = 4
"""In English, about; a Chinese character counts as a token."""


@dataclass(slots=True)
class ModelLoad:
    """Calls of one model. `completion_tokens` are the most that its settings allow; `None`: no limit set."""

    kind: str
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int | None = 0
    cost_at_most: float | None = None
    gpus: float = 0.0
    nodes_with: str = ""


def estimate_loads(plan: StudyPlan) -> dict[str, ModelLoad]:
    """Loads by model, at most: a call that several systems share (one prompt to one model) counts for each."""
    profile = plan.run_profile
    experts = [expert.model for expert in profile.experts.values()]
    classifiers = [classifier.profile.classifier.model for classifier in plan.classifiers.values()]
    loads = {name: _hardware(profile, name) for name in (*experts, *classifiers)}
    for question in plan.questions:
        for name, config in profile.experts.items():
            call = Expert(name, None, config, plan.shots).make_call(question, Call(()))  # type: ignore[arg-type]
            _count(loads[config.model], call.messages, call.settings.max_tokens)
        for classifier in plan.classifiers.values():
            own = classifier.profile.classifier
            _count(loads[own.model], _prompt(classifier, question), own.settings.max_tokens)
    for name, load in loads.items():
        if load.completion_tokens is not None:
            load.cost_at_most = profile.token_cost(name, load.prompt_tokens, load.completion_tokens)
    return loads


def estimate_table(plan: StudyPlan) -> Table:
    """The loads as a table: a row for each model, and one for all."""
    loads = estimate_loads(plan)
    rows = []
    for name, load in loads.items():
        price = NONE if load.cost_at_most is None else f"{load.cost_at_most:.2f}"
        most = "no limit" if load.completion_tokens is None else f"{load.completion_tokens:,}"
        gpus = f"{load.gpus:g} ({load.nodes_with})" if load.gpus else NONE
        rows.append((name, load.kind, f"{load.calls:,}", f"{load.prompt_tokens:,}", most, price, gpus))
    calls, prompt = (sum(getattr(load, name) for load in loads.values()) for name in ("calls", "prompt_tokens"))
    costs = [load.cost_at_most for load in loads.values() if load.cost_at_most]
    gpus = f"{sum(load.gpus for load in loads.values()):g}"
    rows.append(("all", "", f"{calls:,}", f"{prompt:,}", "", f"{sum(costs):.2f}" if costs else NONE, gpus))
    caption = (
        f"{len(plan.questions)} questions, {len(plan.run_profile.experts)} experts, {len(plan.classifiers)} classifiers"
    )
    return Table(f"profile {plan.profile.name}", caption, COLUMNS, tuple(rows))


def _hardware(profile: Profile, name: str) -> ModelLoad:
    config = profile.models[name]
    load = ModelLoad(config.kind)
    if isinstance(config, VllmModel):
        load.gpus = config.scaling.min_replicas * sum(bundle.get("GPU", 0.0) for bundle in config.bundles)
        load.nodes_with = f"{len(config.bundles)} × {config.accelerator or 'GPU'}, {config.placement_strategy}"
    return load


def _prompt(classifier: ExtraClassifier, question: Question) -> tuple[Message, ...]:
    """The classifier's prompt, with the first examples in the place of the nearest: their lengths are alike."""
    config = classifier.profile.classifier
    near = [
        Neighbour(example.id, example.full_text, example.task or "", 0, 0)
        for example in classifier.examples[: config.k]
    ]
    return classifier_prompt(question, classifier.profile.task_list, near, config.example_chars, config.instruction)


def _count(load: ModelLoad, messages: Iterable[Message], most: int | None) -> None:
    load.calls += 1
    load.prompt_tokens += sum(estimate_tokens(message.content) for message in messages)
    load.completion_tokens = None if most is None or load.completion_tokens is None else load.completion_tokens + most


def estimate_tokens(text: str) -> int:
    chinese = len(_CJK.findall(text))
    return chinese + -(-(len(text) - chinese) // CHARACTERS_A_TOKEN)
