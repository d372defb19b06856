"""Deployment of the retriever: embeds questions in batches and searches the indexes."""

import asyncio
from pathlib import Path

from ray import serve

from coe_ray.core.types import Neighbour, Question
from coe_ray.llm.weights import fetch_weights
from coe_ray.profile.profile import Profile
from coe_ray.retrieval.encoder import Embeddings, SentenceEncoder
from coe_ray.retrieval.index_cache import IndexCache


@serve.deployment(
    name="retriever",
    max_ongoing_requests=64,
    health_check_period_s=2.0,  # by default a dead replica is noticed, and another one started, up to 10 s late
    ray_actor_options={"num_cpus": 0.5},
)
class RetrieverDeployment:
    """Encoder and open indexes. Fails to start where the profile has no index, or one of another encoder."""

    def __init__(self, profile: Profile) -> None:
        encoder = profile.retrieval.encoder
        self._encoder = SentenceEncoder(encoder.hub, fetch_weights(encoder))
        self._indexes = IndexCache(self._encoder)
        self._indexes.open(profile.index_folder)

    async def nearest_all(self, queries: list[tuple[Question, int]], folder: str) -> list[tuple[Neighbour, ...]]:
        """The `k` nearest examples of each question, from the index in `folder`. Raises `DataError`."""
        index = await self._indexes.at(Path(folder))
        return await asyncio.gather(*(index.nearest(question, k) for question, k in queries))

    async def embed(self, texts: list[str]) -> Embeddings:
        """The encoder's vectors of `texts`."""
        tokens = await asyncio.to_thread(self._encoder.count_tokens, texts)
        return Embeddings(await self._indexes.encoder.encode_all(texts), tokens)

    async def check(self, folder: str) -> None:
        """Open the index in `folder`. Raises `DataError` where there is none, or one of another encoder."""
        await self._indexes.check(Path(folder))

    async def check_health(self) -> None:
        """Called by Serve and `/healthz`. Nothing to check: a replica that takes requests has its index open."""
