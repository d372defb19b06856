"""The paper's task and model scenarios: a profile after a change, run beside the profile with the same engines."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from coe_ray.core.errors import ConfigError
from coe_ray.core.types import Question
from coe_ray.profile.experts import ExpertConfig
from coe_ray.profile.models import ModelConfig, VllmModel
from coe_ray.profile.profile import Profile, patch_profile
from coe_ray.profile.study import Scenario


@dataclass(frozen=True, slots=True)
class ResolvedScenario:
    """A scenario: its profile, and for each of its experts the name that the expert has in the run."""

    name: str
    profile: Profile
    relabel: Mapping[str, str]
    experts: Mapping[str, str]

    def relabelled(self, question: Question) -> Question:
        """The question with the task that it has here: by its category, by its former task, or unchanged."""
        for former in (question.category, question.task):
            if former is not None and former in self.relabel:
                return replace(question, task=self.relabel[former])
        return question


def resolve_scenarios(profile: Profile) -> tuple[ResolvedScenario, ...]:
    """The scenarios of a profile. Raises `ConfigError` for a change that cannot be, or that would restart an engine."""
    scenarios: tuple[ResolvedScenario, ...] = ()
    for name, scenario in profile.study.scenarios.items():
        scenarios = (*scenarios, _resolve(profile, scenarios, name, scenario))
    return scenarios


def _resolve(profile: Profile, before: tuple[ResolvedScenario, ...], name: str, scenario: Scenario) -> ResolvedScenario:
    """`before` are the scenarios resolved already: all share one run, so a name must mean one thing."""
    where = f"profile {profile.name!r}: study.scenarios.{name}"
    if invalid := set(scenario.change) - {"tasks", "models", "experts", "classifier"}:
        raise ConfigError(f"{where}: {sorted(invalid)[0]} cannot change in a scenario, only tasks, models and experts")
    if "classifier" in scenario.change and profile.study.classifiers:
        raise ConfigError(f"{where}: classifier changes nothing where study.classifiers are measured; add one there")
    try:
        after = patch_profile(profile, scenario.change)
    except ConfigError as error:  # the file's own keys are right
        raise ConfigError(f"{where}: {error}") from error
    models = all_models(profile, before)
    for model, config in after.models.items():
        if isinstance(config, VllmModel) and profile.models.get(model) != config:
            raise ConfigError(f"{where}: models.{model} is of kind vllm; put it into the profile's own models")
        if models.get(model, config) != config:
            raise ConfigError(f"{where}: models.{model} is another model elsewhere in the profile; rename it here")
    tasks = {task.name for task in after.task_list}
    if unknown := set(scenario.relabel.values()) - tasks:
        raise ConfigError(f"{where}: relabel names {sorted(unknown)[0]!r}, which is not among its tasks")
    known = all_experts(profile, before)
    # An expert keeps its own name, unless another one has it.
    experts = {
        expert: expert if known.get(expert, config) == config else f"{expert} @ {name}"
        for expert, config in after.experts.items()
    }
    return ResolvedScenario(name, after, scenario.relabel, experts)


def all_experts(profile: Profile, scenarios: tuple[ResolvedScenario, ...]) -> dict[str, ExpertConfig]:
    """All experts of the run: the profile's, its single models, and those that are new in a scenario."""
    experts = {**profile.experts, **profile.study.singles}
    for scenario in scenarios:
        experts |= {scenario.experts[name]: config for name, config in scenario.profile.experts.items()}
    return experts


def all_models(profile: Profile, scenarios: tuple[ResolvedScenario, ...]) -> dict[str, ModelConfig]:
    models = dict(profile.models)
    for scenario in scenarios:
        models |= scenario.profile.models
    return models
