"""The profile: one YAML file that says which tasks, models and experts there are and how questions are routed.

Every object is frozen and refuses unknown keys; every error names the file, the key and what to do.
"""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from coe_ray.core.errors import ConfigError
from coe_ray.core.types import UNKNOWN, Task
from coe_ray.profile.experts import ClassifierConfig, ExpertConfig
from coe_ray.profile.loading import merge_patch, read_profile
from coe_ray.profile.models import ApiModel, ModelConfig, ProfileSection, Weights
from coe_ray.profile.study import StudyConfig
from coe_ray.profile.tasks import TASK_SETS


class TaskConfig(ProfileSection):
    """A task spelled out in the profile."""

    name: str = Field(min_length=1)
    description: str = Field(min_length=1)


class RetrievalConfig(ProfileSection):
    """The encoder, the labelled examples (a benchmark's dev split) and the folder of the index made of them.

    `embeddings` is the model's name under which the encoder answers `/v1/embeddings`; without one it does not.
    """

    encoder: Weights
    examples: str = "sample"
    index: str | None = None
    embeddings: str | None = Field(default=None, min_length=1)


class LeaderboardConfig(ProfileSection):
    """The leaderboard file; without one, a bench run must make it first."""

    path: str | None = None


class RoutingConfig(ProfileSection):
    """`deadline_s` bounds one question from its arrival to its answer, or to the first piece of a stream.

    An expert that has not answered within `failover_after_s` is left for the next best one on the task.
    """

    deadline_s: float = Field(default=300.0, gt=0)
    failover_after_s: float = Field(default=60.0, gt=0)


class AccessConfig(ProfileSection):
    """Who may ask the endpoint, and how much.

    `keys` is the file of hashed keys that `coe-ray keys` writes (default: `keys.json` in `COE_RAY_HOME`); `off` lets
    everyone in, which only an endpoint on loopback may do. The limits are each key's, on all replicas together, where
    its entry in the file names no others. `cors_origins` are the origins (`https://host:port`) whose web pages may call
    the endpoint from a browser.
    """

    keys: Literal[False] | str | None = None
    requests_per_minute: int = Field(default=60_000, ge=1)
    concurrency: int = Field(default=256, ge=1)
    cors_origins: tuple[Annotated[str, Field(pattern=r"^https?://[^/*\s]+$")], ...] = ()


class Profile(ProfileSection):
    """A whole profile. `file_name` and `folder` say where the file lies; relative paths are relative to it.

    With `extends`, a shipped profile or another file, everything is as there but for what stands here: a JSON merge
    patch (RFC 7386), in which `null` takes a key away.
    """

    file_name: str
    folder: str
    extends: str | None = None
    tasks: tuple[TaskConfig | str, ...] = Field(min_length=1)
    models: dict[str, ModelConfig] = Field(min_length=1)
    experts: dict[str, ExpertConfig] = Field(min_length=1)
    classifier: ClassifierConfig
    retrieval: RetrievalConfig
    leaderboard: LeaderboardConfig = LeaderboardConfig()
    routing: RoutingConfig = RoutingConfig()
    access: AccessConfig = AccessConfig()
    study: StudyConfig = StudyConfig()

    @property
    def name(self) -> str:
        return Path(self.file_name).stem

    @property
    def file(self) -> Path:
        """Where it lies."""
        return Path(self.folder, self.file_name)

    @property
    def task_list(self) -> tuple[Task, ...]:
        """The tasks, with named sets spelled out, in order."""
        return tuple(task for entry in self.tasks for task in _spelled_out(entry))

    @property
    def index_folder(self) -> Path:
        if self.retrieval.index is not None:
            return self.path(self.retrieval.index)
        return home_folder() / "index" / self.name

    @property
    def keys_file(self) -> Path | None:
        """`None` where no key is asked for."""
        match self.access.keys:
            case None:
                return home_folder() / "keys.json"
            case False:
                return None
            case relative:
                return self.path(str(relative))

    @property
    def leaderboard_file(self) -> Path | None:
        return None if self.leaderboard.path is None else self.path(self.leaderboard.path)

    def path(self, relative: str) -> Path:
        return Path(self.folder, Path(relative).expanduser())

    def token_cost(self, model: str, prompt_tokens: int, completion_tokens: int) -> float | None:
        """What so many tokens of a model cost, in the currency of the prices; `None` where it has no price."""
        config = self.models.get(model)
        if not isinstance(config, ApiModel) or config.price is None:
            return None
        return (prompt_tokens * config.price.input + completion_tokens * config.price.output) / 1_000_000

    @model_validator(mode="after")
    def _consistent(self) -> "Profile":
        names = [task.name for task in self.task_list]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"tasks: {sorted(twice)} named twice")
        if UNKNOWN in {name.casefold() for name in names}:
            raise ValueError(f"tasks: {UNKNOWN!r} is the class beyond the list; choose another name")
        for where, model in (*self._served_references(), *self._studied_references()):
            if model not in self.models:
                raise ValueError(f"{where}: no model {model!r} in models ({_suggest(model, self.models)})")
        for section, taken in (("experts", {*self.experts}), ("study.singles", {*self.study.singles})):
            if reserved := {"coe", "auto"} & taken:
                raise ValueError(f"{section}.{reserved.pop()}: this name is the route's own; choose another")
        if self.retrieval.embeddings in {"coe", "auto", *self.experts}:
            raise ValueError("retrieval.embeddings: is the route's name, or an expert's; choose another")
        if twice := set(self.experts) & set(self.study.singles):
            raise ValueError(f"study.singles.{twice.pop()}: is an expert, too; choose another name")
        return self

    @property
    def without_study(self) -> "Profile":
        """The same without what only a study needs: its models are not hosted, nor are their keys asked for.

        Models that nothing names stay: a change may come to need them.
        """
        served = {model for _, model in self._served_references()}
        dropped = {model for _, model in self._studied_references()} - served
        models = {name: model for name, model in self.models.items() if name not in dropped}
        return self.model_copy(update={"models": models, "study": StudyConfig()})

    def _served_references(self) -> list[tuple[str, str]]:
        experts = [(f"experts.{name}.model", expert.model) for name, expert in self.experts.items()]
        return [*experts, ("classifier.model", self.classifier.model)]

    def _studied_references(self) -> list[tuple[str, str]]:
        study = self.study
        singles = [(f"study.singles.{name}.model", each.model) for name, each in study.singles.items()]
        classifiers = [(f"study.classifiers.{name}.model", each.model) for name, each in study.classifiers.items()]
        return [*singles, *classifiers]


def home_folder() -> Path:
    """Where coe_ray keeps what it can make again: indexes and weights (`COE_RAY_HOME`)."""
    return Path(os.environ.get("COE_RAY_HOME", "~/.cache/coe_ray")).expanduser()


def runs_folder() -> Path:
    """Where the endpoint looks for folders of bench runs, to show them in its console (`COE_RAY_RUNS`)."""
    named = os.environ.get("COE_RAY_RUNS")
    return Path(named).expanduser() if named else home_folder() / "runs"


def load_profile(name_or_path: str | Path) -> Profile:
    """The profile of a shipped name or a YAML file.

    Raises `ConfigError`: no such file, not YAML, or a key that is unknown, missing or wrong.
    """
    return _validated(*read_profile(name_or_path))


def patch_profile(profile: Profile, change: Mapping[str, Any]) -> Profile:
    """The profile with a JSON merge patch (RFC 7386) to its file's content. Raises `ConfigError` as `load_profile`."""
    content = profile.model_dump(mode="json", exclude_unset=True, exclude={"file_name", "folder"})
    return _validated(profile.file, merge_patch(content, change))


def _validated(path: Path, content: dict[str, Any]) -> Profile:
    if derived := {"file_name", "folder"} & set(content):
        raise ConfigError(f"{path}: {derived.pop()}: comes from where the file lies; remove it")
    try:
        return Profile(file_name=path.name, folder=str(path.parent), **content)
    except ValidationError as error:
        lines = "\n".join(f"{path}: {_explain(dict(item))}" for item in error.errors())
        raise ConfigError(lines) from error
    except TypeError as error:
        raise ConfigError(f"{path}: keys must be text: {error}") from error


def _explain(item: dict[str, Any]) -> str:
    # A union's loc carries the kind that was tried; it is no key of the file, but it says which schema spoke.
    key = ".".join(str(part) for part in item["loc"]) or "profile"
    if item["type"] == "extra_forbidden":
        return f"{key}: unknown key; remove it or correct its spelling"
    if item["type"] == "missing":
        return f"{key}: missing; add it"
    if item["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return f"{key}: kind must be one of vllm, api, python, recorded, scripted"
    message = item["msg"].removeprefix("Value error, ")
    # What the whole profile is checked for names its own key.
    return f"{key}: {message}; correct this value" if item["loc"] else f"{message}; correct it"


def _spelled_out(entry: TaskConfig | str) -> tuple[Task, ...]:
    if isinstance(entry, TaskConfig):
        return (Task(entry.name, entry.description),)
    if entry not in TASK_SETS:
        raise ValueError(f"tasks: no task set {entry!r} ({_suggest(entry, TASK_SETS)})")
    return TASK_SETS[entry]


def _suggest(name: str, known: dict[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else "there are: " + ", ".join(known)
