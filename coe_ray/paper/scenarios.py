"""The paper's task and model scenarios: a profile after a change, asked beside it in one run, by the same engines."""

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
    """A scenario worked out: its profile, and for each of its experts the name it is asked under in the run."""

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
    found: tuple[ResolvedScenario, ...] = ()
    for name, scenario in profile.study.scenarios.items():
        found = (*found, _changed(profile, found, name, scenario))
    return found


def _changed(profile: Profile, before: tuple[ResolvedScenario, ...], name: str, scenario: Scenario) -> ResolvedScenario:
    """`before` are the scenarios that were worked out already: all are asked in one run, so a name means one thing."""
    where = f"profile {profile.name!r}: study.scenarios.{name}"
    if unfit := set(scenario.change) - {"tasks", "models", "experts", "classifier"}:
        raise ConfigError(f"{where}: {sorted(unfit)[0]} cannot change in a scenario, only tasks, models and experts")
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
    listed = {task.name for task in after.task_list}
    if strange := set(scenario.relabel.values()) - listed:
        raise ConfigError(f"{where}: relabel names {sorted(strange)[0]!r}, which is not among its tasks")
    known = all_experts(profile, before)
    experts = {each: _asked_as(each, config, known, name) for each, config in after.experts.items()}
    return ResolvedScenario(name, after, scenario.relabel, experts)


def _asked_as(expert: str, config: ExpertConfig, known: Mapping[str, ExpertConfig], scenario: str) -> str:
    """Its own name, where nobody else has it."""
    return expert if known.get(expert, config) == config else f"{expert} @ {scenario}"


def all_experts(profile: Profile, scenarios: tuple[ResolvedScenario, ...]) -> dict[str, ExpertConfig]:
    """Everybody who is asked in the run: experts, single models, and who is new in a scenario."""
    asked = {**profile.experts, **profile.study.singles}
    for each in scenarios:
        asked |= {each.experts[name]: config for name, config in each.profile.experts.items()}
    return asked


def all_models(profile: Profile, scenarios: tuple[ResolvedScenario, ...]) -> dict[str, ModelConfig]:
    models = dict(profile.models)
    for each in scenarios:
        models |= each.profile.models
    return models
