"""What a study asks of whom: one sitting of a profile's questions, with everything that its tables need."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from coe_ray.analysis.leaks import refuse_leaks, without_leaks
from coe_ray.analysis.matrix import OWN
from coe_ray.bench.datasets.load import Benchmark, load_benchmark
from coe_ray.bench.run import sample_questions
from coe_ray.bench.worker import ExtraClassifier
from coe_ray.core.errors import ConfigError, DataError
from coe_ray.core.types import Question
from coe_ray.paper.scenarios import ResolvedScenario, all_experts, all_models, resolve_scenarios
from coe_ray.profile.experts import ClassifierConfig, ExpertConfig
from coe_ray.profile.models import ApiModel, ModelConfig, VllmModel
from coe_ray.profile.profile import Profile, load_profile
from coe_ray.routing.pipeline import Shots

Scoring = Literal["text", "next-token"]

WITHOUT_RAG = " without RAG"


@dataclass(frozen=True, slots=True)
class StudyRequest:
    """What to study. `scoring`: read the letter out of the text, or take the likeliest next token. `shots`: solved
    questions of the same category before each. `mapping`: a finished run on other questions, for the held-out mapping.
    """

    profiles: tuple[str, ...]
    data: str
    out: Path
    per_task: int | None = None
    seed: int = 0
    scoring: Scoring = "text"
    shots: int = 0
    mapping: Path | None = None
    leave_out_leaks: bool = False
    fine_tune: bool = False


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """One profile's part. `profile` is as in its file; `asked` has everybody who is asked."""

    reference: str
    profile: Profile
    asked: Profile
    benchmark: Benchmark
    questions: tuple[Question, ...]
    labellers: Mapping[str, ExtraClassifier]
    scenarios: tuple[ResolvedScenario, ...]
    shots: Shots


def plan_calls(order: StudyRequest, reference: str, folder: Path) -> StudyPlan:
    """Work out what is asked for a profile; `folder` is where its indexes will lie. Raises `CoeError`."""
    profile = load_profile(reference)
    scenarios = resolve_scenarios(profile)
    benchmark = load_benchmark(order.data, tasks=profile.task_list)
    questions = sample_questions(_concerned(profile, scenarios, benchmark), order.per_task, order.seed)
    benchmark = _clean(order, benchmark, questions)
    models = all_models(profile, scenarios)
    experts = {name: _scored(order.scoring, models, each) for name, each in all_experts(profile, scenarios).items()}
    first = next(iter(_classifiers(profile).values()))
    update = {"experts": experts, "models": models, "classifier": first}
    labellers = _labellers(profile, benchmark, folder) | _scenario_labellers(scenarios, benchmark, folder)
    shots = _shots(benchmark, order.shots)
    return StudyPlan(
        reference, profile, profile.model_copy(update=update), benchmark, questions, labellers, scenarios, shots
    )


def variants(profile: Profile) -> tuple[str, ...]:
    """The names that the labels of a profile's classifiers have: each with retrieved examples, and without."""
    return tuple(_variants(_classifiers(profile)))


def scenario_label(variant: str, scenario: str) -> str:
    """The name of a classifier's labels in a scenario."""
    return f"{variant} @ {scenario}"


def _classifiers(profile: Profile) -> Mapping[str, ClassifierConfig]:
    return profile.study.classifiers or {OWN: profile.classifier}


def _variants(classifiers: Mapping[str, ClassifierConfig]) -> dict[str, ClassifierConfig]:
    made = {}
    for name, config in classifiers.items():
        # A cascade would take the labels from the neighbours, whose vote is a system of its own here.
        asked = config.model_copy(update={"skip_llm_above": None})
        if config.k:
            made[name] = asked
        made[name + WITHOUT_RAG] = asked.model_copy(update={"k": 0})
    return made


def _labellers(profile: Profile, benchmark: Benchmark, folder: Path) -> dict[str, ExtraClassifier]:
    examples = _listed(profile, benchmark.examples)
    return {
        name: ExtraClassifier(profile.model_copy(update={"classifier": config}), folder / "index", examples)
        for name, config in _variants(_classifiers(profile)).items()
    }


def _scenario_labellers(
    scenarios: tuple[ResolvedScenario, ...], benchmark: Benchmark, folder: Path
) -> dict[str, ExtraClassifier]:
    made = {}
    for each in scenarios:
        examples = _listed(each.profile, tuple(map(each.relabelled, benchmark.examples)))
        for variant, config in _variants(_classifiers(each.profile)).items():
            profile = each.profile.model_copy(update={"classifier": config})
            made[scenario_label(variant, each.name)] = ExtraClassifier(profile, folder / f"index-{each.name}", examples)
    return made


def _listed(profile: Profile, examples: tuple[Question, ...]) -> tuple[Question, ...]:
    tasks = {task.name for task in profile.task_list}
    return tuple(example for example in examples if example.task in tasks)


def _concerned(profile: Profile, scenarios: tuple[ResolvedScenario, ...], benchmark: Benchmark) -> Benchmark:
    """The benchmark with the questions of the profile's tasks, or of a scenario's, alone."""
    own = {task.name for task in profile.task_list}
    others = [({task.name for task in each.profile.task_list}, each) for each in scenarios]

    def concerns(question: Question) -> bool:
        return question.task in own or any(each.relabelled(question).task in tasks for tasks, each in others)

    questions = tuple(question for question in benchmark.questions if concerns(question))
    if not questions:
        named = ", ".join(task.name for task in benchmark.tasks)
        raise DataError(f"profile {profile.name!r} has none of the tasks of {benchmark.name} ({named})")
    return replace(benchmark, questions=questions)


def _clean(order: StudyRequest, benchmark: Benchmark, questions: tuple[Question, ...]) -> Benchmark:
    """The benchmark with examples that are no scored question. Raises `DataError` where some are, unless told to."""
    if not order.leave_out_leaks:
        refuse_leaks(questions, benchmark.examples, "the labelled examples that the index is made of")
        return benchmark
    return replace(benchmark, examples=without_leaks(questions, benchmark.examples))


def _scored(scoring: Scoring, models: Mapping[str, ModelConfig], expert: ExpertConfig) -> ExpertConfig:
    """The expert as it is to be scored; one that is no language model stays as it is."""
    if scoring == "text" or not isinstance(models[expert.model], VllmModel | ApiModel):
        return expert
    return expert.model_copy(update={"prompt": "next-token", "constrained": False})


def _shots(benchmark: Benchmark, count: int) -> Shots:
    """Solved examples by category. Raises `ConfigError` where there are none to show."""
    if not count:
        return {}
    shots: dict[str, list[Question]] = {}
    for example in benchmark.examples:
        if example.answer is not None and example.category is not None:
            shots.setdefault(example.category, []).append(example)
    if not shots:
        raise ConfigError(f"--shots {count}: {benchmark.name} has no solved examples in its dev split")
    return {category: tuple(examples[:count]) for category, examples in shots.items()}
