"""Factory of the models that need no deployment: API endpoints, Python experts, recorded answers, scripts.

Models hosted on Ray Serve are made in `cluster/hosted.py`; the pipeline sees no difference.
"""

import importlib
import math
import os
import re
from pathlib import Path
from typing import cast

from coe_ray.core.chat_model import ChatModel, ScriptedModel, ScriptRule
from coe_ray.core.errors import ConfigError
from coe_ray.journal.journal import Journal
from coe_ray.journal.journaled_model import JournaledModel
from coe_ray.llm.breaker import ModelBreaker
from coe_ray.llm.http import HttpModel
from coe_ray.llm.recordings import RecordedAnswers
from coe_ray.llm.retry import RetryPolicy, Timeouts
from coe_ray.profile.fingerprint import fields_read, model_fingerprint
from coe_ray.profile.models import ApiModel, PythonModel, RecordedModel, ScriptedModelConfig, VllmModel
from coe_ray.profile.profile import Profile
from coe_ray.ratelimit.governor import RateLimits
from coe_ray.ratelimit.limiter import LimiterRegistry

MIN_RETRY_TIME_S = 300.0
"""How long a call to an API is tried, at least, in seconds, while its provider fails or asks to wait."""


def make_local_models(
    profile: Profile, limiters: LimiterRegistry | None = None, rest_s: float = math.inf
) -> dict[str, ChatModel]:
    """Every model of the profile that needs no deployment, by name. Raises `ConfigError` where one cannot be made.

    API models wait for a slot of the `limiters` (default: their own, with no governor). A model whose key, quota or
    name is wrong gets no calls for `rest_s` seconds, and is then tried again.
    """
    limiters = limiters or LimiterRegistry()
    return {
        name: _make(name, config, profile, limiters, rest_s)
        for name, config in profile.models.items()
        if not isinstance(config, VllmModel)
    }


def wrap_in_journal(
    profile: Profile, name: str, journal: Journal, model: ChatModel | None, *, retry_failed: bool = False
) -> JournaledModel:
    """A model of the profile behind a journal; without `model`, only its journaled answers."""
    config = profile.models[name]
    return JournaledModel(
        name, model_fingerprint(config, profile), journal, model, reads=fields_read(config), retry_failed=retry_failed
    )


def _make(
    name: str,
    config: ApiModel | PythonModel | RecordedModel | ScriptedModelConfig,
    profile: Profile,
    limiters: LimiterRegistry,
    rest_s: float,
) -> ChatModel:
    where = f"profile {profile.name!r}: models.{name}"
    match config:
        case ApiModel():
            return _api(name, config, _key(config, where), limiters, ModelBreaker(rest_s))
        case PythonModel():
            return _imported(name, config.target, where)
        case RecordedModel():
            return RecordedAnswers.load(name, Path(profile.path(config.path)), config.expert)
        case ScriptedModelConfig():
            rules = [ScriptRule(_pattern(rule.pattern, where), rule.reply, rule.fails) for rule in config.rules]
            return ScriptedModel(name, rules, config.delay_s)


def _key(config: ApiModel, where: str) -> str | None:
    if config.key_env is None:
        return None
    if not (key := os.environ.get(config.key_env)):
        raise ConfigError(f"{where}.key_env: environment variable {config.key_env} is not set; export the key there")
    return key


def _api(name: str, config: ApiModel, key: str | None, limiters: LimiterRegistry, breaker: ModelBreaker) -> ChatModel:
    limits = RateLimits(config.max_concurrency, config.requests_per_minute, config.tokens_per_minute)
    # `timeout_s` bounds one try: a slow one must not use up the time for all of them.
    retry_time_s = max(MIN_RETRY_TIME_S, 2 * config.timeout_s)
    return HttpModel(
        name=name,
        model=config.model,
        base_url=config.base_url,
        api_key=key,
        limiter=limiters.limiter(config.base_url, key, limits),
        retry=RetryPolicy(attempts=config.attempts, total_s=retry_time_s),
        timeouts=Timeouts(total_s=config.timeout_s),
        breaker=breaker,
        parameters=config.parameters,
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
