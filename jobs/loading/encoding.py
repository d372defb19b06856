"""What the encoder alone can do, which bounds every question that nobody asked before."""

import time
from itertools import islice

from coe_ray.config import load_profile
from coe_ray.retrieval import SentenceEncoder
from coe_ray.weights import locate
from jobs.loading.questions import Questions

BATCH = 32
"""As many as the retriever puts into one batch."""


def encoded_per_second(tag: str, seconds: float) -> float:
    """Never-seen texts a second, of the kind that the loads ask, in batches on as many cores as the encoder takes."""
    weights = load_profile("local-cpu").retrieval.encoder
    encoder = SentenceEncoder(weights.hub, locate(weights))
    texts = Questions(tag).texts()
    for _ in range(3):
        encoder.encode(list(islice(texts, BATCH)))
    began, batches = time.monotonic(), 0
    while time.monotonic() < began + seconds:
        encoder.encode(list(islice(texts, BATCH)))
        batches += 1
    return batches * BATCH / (time.monotonic() - began)
