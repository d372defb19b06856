"""Snapshot of what is served: profile, leaderboard and models at one moment, immutable, with a version."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import orjson
from cachetools import TTLCache

from coe_ray.cluster.health import hosted_fingerprint
from coe_ray.core.chat_model import ChatModel
from coe_ray.core.errors import ConfigError
from coe_ray.core.types import Question, Route
from coe_ray.profile.models import VllmModel
from coe_ray.profile.profile import Profile, patch_profile
from coe_ray.retrieval.encoder import Embeddings
from coe_ray.retrieval.index import Retriever
from coe_ray.routing.leaderboard import Leaderboard
from coe_ray.routing.pipeline import CompositionOfExperts, load_leaderboard

ROUTES_SIZE = 32 << 20
ROUTES_TTL_S = 300.0
"""Bounds of the route cache: characters, about, and seconds. A rebuilt index shows after that time at the latest."""


class IndexRetriever(Retriever, Protocol):
    """Retriever over the index of one folder."""

    async def embed(self, texts: list[str]) -> Embeddings:
        """The encoder's vectors of `texts`."""

    async def check(self) -> None:
        """Raises `DataError` where there is no such index, or one of another encoder."""


def _size(route: Route) -> int:
    return 2000 + sum(len(near.text) for near in route.classification.neighbours)


@dataclass(frozen=True)
class Snapshot:
    """Everything that may change while serving, at one moment: profile, leaderboard, models, and their version."""

    version: str
    profile: Profile
    coe: CompositionOfExperts
    retriever: IndexRetriever
    local_models: Mapping[str, ChatModel]
    routes: TTLCache[str, Route] = field(default_factory=lambda: TTLCache(ROUTES_SIZE, ROUTES_TTL_S, getsizeof=_size))

    async def route(self, question: Question) -> Route:
        """The route of a question; one of the last minutes is not classified again."""
        if cached := self.routes.get(question.id):
            return cached
        route = await self.coe.route(question)
        if route.classification.fallback:  # the classifier may answer the next time
            return route
        with suppress(ValueError):  # larger than the whole cache
            self.routes[question.id] = replace(route, cached=True)
        return route


class SnapshotBuilder:
    """Maker of snapshots out of the deployed profile and a change to it. All of them share the hosted models."""

    def __init__(
        self,
        profile: Profile,
        *,
        make_models: Callable[[Profile], Mapping[str, ChatModel]],
        hosted: Mapping[str, ChatModel],
        make_retriever: Callable[[Path], IndexRetriever],
    ) -> None:
        """`make_models`: the models of a profile that are not hosted. `make_retriever`: for an index folder."""
        self._profile = profile
        self._make_models = make_models
        self._hosted = hosted
        self._make_retriever = make_retriever

    def first(self) -> Snapshot:
        """The profile as it was deployed. Raises `CoeError` where it cannot be served."""
        return self._build(self._profile, None)

    async def next(self, change: Mapping[str, Any], last: Snapshot) -> Snapshot:
        """The deployed profile with a change. Raises `CoeError`; nothing has changed then."""
        profile = apply_change(self._profile, change)
        snapshot = await asyncio.to_thread(self._build, profile, last)
        if profile.index_folder != self._profile.index_folder:
            await self._make_retriever(profile.index_folder).check()
        return snapshot

    def _build(self, profile: Profile, last: Snapshot | None) -> Snapshot:
        leaderboard = load_leaderboard(profile)
        if last is not None and _local_models(last.profile) == _local_models(profile):
            local = last.local_models  # with their connections, and with what they know of their providers
        else:
            local = self._make_models(profile)
        retriever = self._make_retriever(profile.index_folder)
        coe = CompositionOfExperts(profile, {**local, **self._hosted}, retriever, leaderboard)
        return Snapshot(snapshot_version(profile, leaderboard), profile, coe, retriever, local)


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


def _local_models(profile: Profile) -> dict[str, Any]:
    return {name: model for name, model in profile.models.items() if not isinstance(model, VllmModel)}
