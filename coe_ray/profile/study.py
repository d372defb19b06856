"""What `coe-ray reproduce` measures of a profile beside what is served."""

from typing import Annotated, Any

from pydantic import Field, StringConstraints, field_validator

from coe_ray.profile.experts import ClassifierConfig, ExpertConfig
from coe_ray.profile.models import ProfileSection

Name = Annotated[str, StringConstraints(pattern=r"^\w[\w.-]*$")]
"""Of a scenario: a folder is called by it."""

RESERVED = ("neighbours", "random")


class Scenario(ProfileSection):
    """The profile after a change (a JSON merge patch), as `coe-ray reproduce` measures it without restarting an engine.

    `relabel` names the new task of the questions of a category (such as `chinese/Python`) or of a former task, where
    tasks are renamed, merged or split. Questions that end up with a task that is not listed are left out.
    """

    change: dict[str, Any]
    relabel: dict[str, str] = Field(default_factory=dict)


class StudyConfig(ProfileSection):
    """What `coe-ray reproduce` measures beside what is served.

    `classifiers` are measured each with and without retrieved examples; without any the profile's own is. `singles`
    are asked like experts and never routed to: the larger model that the small ones are to beat. `transfer` names for
    tasks of another list the task of this one that is meant, for a trained classifier that is moved here.
    """

    classifiers: dict[str, ClassifierConfig] = Field(default_factory=dict)
    singles: dict[str, ExpertConfig] = Field(default_factory=dict)
    transfer: dict[str, str] = Field(default_factory=dict)
    scenarios: dict[Name, Scenario] = Field(default_factory=dict)

    @field_validator("classifiers")
    @classmethod
    def _have_names_of_their_own(cls, classifiers: dict[str, ClassifierConfig]) -> dict[str, ClassifierConfig]:
        for name in classifiers:
            if name in RESERVED or name.startswith("bench-coe") or name.endswith("without RAG") or "@" in name:
                raise ValueError(f"{name!r} is what a study calls other labels; choose another name")
        return classifiers
