"""The models that answer from within this process: API endpoints, Python experts, recorded answers, scripts.

Models hosted on Ray Serve are made in `cluster.py`; both kinds look the same from the pipeline.
"""

import importlib
import os
import re
from pathlib import Path
from typing import cast

from coe_ray.calls.http import HttpModel
from coe_ray.calls.retry import RetryPolicy, Timeouts
from coe_ray.chat import ChatModel, Rule, ScriptedModel
from coe_ray.config import Profile
from coe_ray.errors import ConfigError
from coe_ray.experts.recorded import RecordedAnswers
from coe_ray.model_config import ApiModel, PythonModel, RecordedModel, ScriptedModelConfig, VllmModel


def local_models(profile: Profile) -> dict[str, ChatModel]:
    """Every model of the profile that needs no deployment, by name. Raises `ConfigError` where one cannot be made."""
    return {
        name: _make(name, config, profile)
        for name, config in profile.models.items()
        if not isinstance(config, VllmModel)
    }


def _make(
    name: str, config: ApiModel | PythonModel | RecordedModel | ScriptedModelConfig, profile: Profile
) -> ChatModel:
    where = f"profile {profile.name!r}: models.{name}"
    match config:
        case ApiModel():
            return _api(name, config, where)
        case PythonModel():
            return _imported(name, config.target, where)
        case RecordedModel():
            return RecordedAnswers.load(name, Path(profile.path(config.path)))
        case ScriptedModelConfig():
            rules = [Rule(_pattern(rule.pattern, where), rule.reply, rule.fails) for rule in config.rules]
            return ScriptedModel(name, rules, config.delay_s)


def _api(name: str, config: ApiModel, where: str) -> ChatModel:
    key = os.environ.get(config.key_env) if config.key_env else None
    if config.key_env and not key:
        raise ConfigError(f"{where}.key_env: environment variable {config.key_env} is not set; export the key there")
    return HttpModel(
        name=name,
        model=config.model,
        base_url=config.base_url,
        api_key=key,
        retry=RetryPolicy(attempts=config.attempts, total_s=config.timeout_s),
        timeouts=Timeouts(total_s=config.timeout_s),
        max_concurrency=config.max_concurrency,
    )


def _imported(name: str, target: str, where: str) -> ChatModel:
    module, _, attribute = target.partition(":")
    try:
        make = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{where}.target: {target!r} cannot be imported ({error}); give module:Class") from error
    return cast(ChatModel, make(name))


def _pattern(pattern: str, where: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise ConfigError(f"{where}.rules: pattern {pattern!r} is no regular expression: {error}") from error
