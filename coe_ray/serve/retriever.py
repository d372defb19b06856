"""The retriever's deployment: embeds questions in batches and searches the index."""

import asyncio
from collections.abc import Sequence

from ray import serve

from coe_ray.config import Profile
from coe_ray.retrieval import Index, SentenceEncoder, Vectors
from coe_ray.types import Neighbour, Question
from coe_ray.weights import locate


@serve.deployment(name="retriever", max_ongoing_requests=64, ray_actor_options={"num_cpus": 0.5})
class RetrieverDeployment:
    """Fails to start, with the remedy in its message, where there is no index or one of another encoder."""

    def __init__(self, profile: Profile) -> None:
        encoder = profile.retrieval.encoder
        self._encoder = SentenceEncoder(encoder.hub, locate(encoder))
        self._index = Index(profile.index_folder, self._encoder)

    async def nearest(self, question: Question, k: int) -> tuple[Neighbour, ...]:
        vector: Vectors = await self._embed(question.full_text)
        return await self._index.search(question, vector, k)

    @serve.batch(max_batch_size=16, batch_wait_timeout_s=0.002)  # type: ignore[untyped-decorator]
    async def _embed(self, texts: Sequence[str]) -> list[Vectors]:
        # In a thread: the replica's loop goes on taking requests for the next batch.
        return list(await asyncio.to_thread(self._encoder.encode, texts))
