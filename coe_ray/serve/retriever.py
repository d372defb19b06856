"""The retriever's deployment: embeds questions in batches and searches the index."""

from ray import serve

from coe_ray.config import Profile
from coe_ray.retrieval import Index, SentenceEncoder
from coe_ray.types import Neighbour, Question
from coe_ray.weights import locate


@serve.deployment(name="retriever", max_ongoing_requests=64, ray_actor_options={"num_cpus": 0.5})
class RetrieverDeployment:
    """Fails to start, with the remedy in its message, where there is no index or one of another encoder."""

    def __init__(self, profile: Profile) -> None:
        encoder = profile.retrieval.encoder
        self._index = Index(profile.index_folder, SentenceEncoder(encoder.hub, locate(encoder)))

    async def nearest(self, question: Question, k: int, folder: str | None = None) -> tuple[Neighbour, ...]:
        return await self._index.nearest(question, k)

    async def check_health(self) -> None:
        """Asked by Serve and by `/healthz`: a replica that takes requests has its index open."""
