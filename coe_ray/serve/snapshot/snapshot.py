"""What is served at one moment: an immutable edition of profile, leaderboard, models and access, with its version."""

import asyncio
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from cachetools import TTLCache
from ray.serve.handle import DeploymentHandle

from coe_ray.cluster.governors import connect_governors
from coe_ray.cluster.health import hosted_fingerprint
from coe_ray.cluster.hosted import HostedModel, HostedRetriever
from coe_ray.core.chat_model import ChatModel
from coe_ray.core.errors import ConfigError
from coe_ray.core.types import Question, Route
from coe_ray.llm.factory import make_local_models
from coe_ray.profile.models import VllmModel
from coe_ray.profile.profile import Profile, patch_profile
from coe_ray.ratelimit.limiters import LimiterRegistry
from coe_ray.routing.leaderboard import Leaderboard
from coe_ray.routing.pipeline import CompositionOfExperts, load_leaderboard

CIRCUIT_RESTS_S = 30.0
"""How long a model with a bad key or a used-up quota is left alone before one request tries it again."""

DECISIONS_SIZE = 32 << 20
DECISIONS_LAST_S = 300.0
"""Characters of routes that are kept, about, and for how many seconds: an index that is built anew in its place is seen
after that at the latest."""


def _decisions() -> TTLCache[str, Route]:
    return TTLCache(DECISIONS_SIZE, DECISIONS_LAST_S, getsizeof=_size)


def _size(route: Route) -> int:
    return 2000 + sum(len(near.text) for near in route.classification.neighbours)


@dataclass(frozen=True)
class Snapshot:
    """One state of everything that may change while serving. A request is answered by the edition that it met."""

    version: str
    profile: Profile
    coe: CompositionOfExperts
    local: Mapping[str, ChatModel]
    decisions: TTLCache[str, Route] = field(default_factory=_decisions)

    async def decide(self, question: Question) -> Route:
        """The route of a question. What was decided lately is not classified again."""
        if known := self.decisions.get(question.id):
            return known
        route = await self.coe.route(question)
        with suppress(ValueError):  # larger than all that is kept
            self.decisions[question.id] = replace(route, cached=True)
        return route


class SnapshotBuilder:
    """Makes editions out of the profile that was deployed and changes to it. Hosted models are the same in all."""

    def __init__(self, profile: Profile, retriever: DeploymentHandle, hosted: Mapping[str, DeploymentHandle]) -> None:
        self._profile = profile
        self._retriever = retriever
        self._hosted = {name: HostedModel(name, handle) for name, handle in hosted.items()}

    def first(self) -> Snapshot:
        """The profile as it was deployed. Raises `CoeError` where it cannot be served."""
        return self._printed(self._profile, None)

    async def next(self, change: Mapping[str, Any], last: Snapshot) -> Snapshot:
        """The deployed profile with a change. Raises `CoeError`, and nothing has happened."""
        profile = apply_change(self._profile, change)
        edition = await asyncio.to_thread(self._printed, profile, last)
        if profile.index_folder != self._profile.index_folder:
            await HostedRetriever(self._retriever, profile.index_folder).check()
        return edition

    def _printed(self, profile: Profile, last: Snapshot | None) -> Snapshot:
        leaderboard = load_leaderboard(profile)
        if last is not None and _local(last.profile) == _local(profile):
            local = last.local  # with its connections and what it knows of its providers
        else:
            local = make_local_models(profile, LimiterRegistry(connect_governors()), CIRCUIT_RESTS_S)
        retriever = HostedRetriever(self._retriever, profile.index_folder)
        coe = CompositionOfExperts(profile, {**local, **self._hosted}, retriever, leaderboard)
        return Snapshot(snapshot_version(profile, leaderboard), profile, coe, local)


def apply_change(profile: Profile, change: Mapping[str, Any]) -> Profile:
    """The profile with a merge patch of what may change while serving. Raises `ConfigError` naming the key."""
    if not isinstance(change, Mapping):
        raise ConfigError("user_config: must be a mapping of keys of the profile; see docs/cluster.md")
    new = patch_profile(profile, change)
    if hosted_fingerprint(new) != hosted_fingerprint(profile):
        raise ConfigError(
            "user_config: models of kind vllm are deployments; deploy a changed profile (under another path, where "
            "`serve deploy` names it)"
        )
    if new.retrieval.encoder != profile.retrieval.encoder:
        raise ConfigError(
            "user_config: retrieval.encoder: is loaded in the retriever; change the profile and deploy it again"
        )
    return new


def snapshot_version(profile: Profile, leaderboard: Leaderboard | None) -> str:
    """A hash of profile and leaderboard. The release and the index's content have versions of their own."""
    content = profile.model_dump(mode="json", exclude={"folder"})
    scores = leaderboard.version if leaderboard else None
    return hashlib.sha256(orjson.dumps([content, scores], option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]


def _local(profile: Profile) -> dict[str, Any]:
    return {name: model for name, model in profile.models.items() if not isinstance(model, VllmModel)}
