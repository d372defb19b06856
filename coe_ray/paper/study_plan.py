"""Plan of a study: for each profile the questions, experts and classifiers of one run."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from coe_ray.analysis.leaks import refuse_leaks, without_leaks
from coe_ray.analysis.matrix import OWN
from coe_ray.bench.datasets.load import Benchmark, load_benchmark, sample_by_task
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
    """Request for a study. `scoring`: read the letter out of the text, or take the likeliest next token. `shots`:
    solved questions of the same category before each. `mapping`: a finished run on other questions, for the held-out
    mapping.
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
    """One profile's run. `profile` is as in its file; `run_profile` has all experts and models of the run.

    `classifiers` are by the name that their labels have in the records.
    """

    reference: str
    profile: Profile
    run_profile: Profile
    benchmark: Benchmark
    questions: tuple[Question, ...]
    classifiers: Mapping[str, ExtraClassifier]
    scenarios: tuple[ResolvedScenario, ...]
    shots: Shots


def plan_study(request: StudyRequest, reference: str, folder: Path) -> StudyPlan:
    """Plan the run of a profile; `folder` is where its indexes will lie. Raises `CoeError`."""
    profile = load_profile(reference)
    scenarios = resolve_scenarios(profile)
    benchmark = load_benchmark(request.data, tasks=profile.task_list)
    questions = sample_by_task(_questions_of(profile, scenarios, benchmark), request.per_task, request.seed)
    if request.leave_out_leaks:
        benchmark = replace(benchmark, examples=without_leaks(questions, benchmark.examples))
    else:
        refuse_leaks(questions, benchmark.examples, "the labelled examples that the index is made of")
    models = all_models(profile, scenarios)
    experts = all_experts(profile, scenarios)
    update = {
        "experts": {name: _with_scoring(request.scoring, models, expert) for name, expert in experts.items()},
        "models": models,
        "classifier": next(iter(_configs(profile).values())),
    }
    classifiers = _classifiers(profile, benchmark.examples, folder / "index")
    for scenario in scenarios:
        examples = tuple(map(scenario.relabelled, benchmark.examples))
        changed = _classifiers(scenario.profile, examples, folder / f"index-{scenario.name}")
        classifiers |= {scenario_label(variant, scenario.name): each for variant, each in changed.items()}
    run_profile, shots = profile.model_copy(update=update), _shots(benchmark, request.shots)
    return StudyPlan(reference, profile, run_profile, benchmark, questions, classifiers, scenarios, shots)


def classifier_variants(profile: Profile) -> dict[str, ClassifierConfig]:
    """The profile's classifiers by the names of their labels: each with retrieved examples, and without."""
    variants = {}
    for name, config in _configs(profile).items():
        # A cascade would take the labels from the neighbours, whose vote is a system of its own here.
        changes: dict[str, object] = {"skip_llm_above": None}
        if config.k:
            variants[name] = config.model_copy(update=changes)
        variants[name + WITHOUT_RAG] = config.model_copy(update=changes | {"k": 0})
    return variants


def scenario_label(variant: str, scenario: str) -> str:
    """The name of a classifier's labels in a scenario."""
    return f"{variant} @ {scenario}"


def _configs(profile: Profile) -> Mapping[str, ClassifierConfig]:
    return profile.study.classifiers or {OWN: profile.classifier}


def _classifiers(profile: Profile, examples: tuple[Question, ...], index: Path) -> dict[str, ExtraClassifier]:
    tasks = {task.name for task in profile.task_list}
    examples = tuple(example for example in examples if example.task in tasks)
    return {
        name: ExtraClassifier(profile.model_copy(update={"classifier": config}), index, examples)
        for name, config in classifier_variants(profile).items()
    }


def _questions_of(
    profile: Profile, scenarios: tuple[ResolvedScenario, ...], benchmark: Benchmark
) -> tuple[Question, ...]:
    """The benchmark's questions of the profile's tasks, or of a scenario's."""
    own = {task.name for task in profile.task_list}
    others = [({task.name for task in scenario.profile.task_list}, scenario) for scenario in scenarios]

    def has_task(question: Question) -> bool:
        return question.task in own or any(scenario.relabelled(question).task in tasks for tasks, scenario in others)

    questions = tuple(filter(has_task, benchmark.questions))
    if not questions:
        named = ", ".join(task.name for task in benchmark.tasks)
        raise DataError(f"profile {profile.name!r} has none of the tasks of {benchmark.name} ({named})")
    return questions


def _with_scoring(scoring: Scoring, models: Mapping[str, ModelConfig], expert: ExpertConfig) -> ExpertConfig:
    """The expert as it is to be scored; one that is no language model stays as it is."""
    if scoring == "text" or not isinstance(models[expert.model], VllmModel | ApiModel):
        return expert
    return expert.model_copy(update={"prompt": "next-token", "constrained": False})


def _shots(benchmark: Benchmark, count: int) -> Shots:
    """Solved examples by category. Raises `ConfigError` where there are none to show."""
    shots: dict[str, tuple[Question, ...]] = {}
    for example in benchmark.examples if count else ():
        if example.answer is not None and example.category is not None:
            shots[example.category] = (*shots.get(example.category, ()), example)[:count]
    if count and not shots:
        raise ConfigError(f"--shots {count}: {benchmark.name} has no solved examples in its dev split")
    return shots
