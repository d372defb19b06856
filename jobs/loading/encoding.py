"""What the encoder alone can do, which bounds every question that nobody asked before."""

import os
from functools import partial
from itertools import islice
from time import monotonic

from coe_ray.llm.weights import fetch_weights
from coe_ray.profile.profile import load_profile
from coe_ray.retrieval.encoder import SentenceEncoder
from jobs.loading.questions import Questions
from jobs.loading.together import begin, together

BATCH = 32
"""Enough that no thread of the encoder waits for another at the end of one."""


def encoder_rate(tag: str, seconds: float) -> float:
    """Never-seen texts a second, of the kind that the loads ask, in batches, on all cores of this machine.

    By one encoder, or by one for each core, whichever is faster: that depends on how many threads it takes itself.
    """
    counts = {1, len(os.sched_getaffinity(0))}
    return max(sum(together(partial(_encoded, f"{tag}-{count}", seconds), count)) for count in counts)


def _encoded(tag: str, seconds: float, part: int) -> float:
    """Texts a second by the encoder of this process."""
    weights = load_profile("local-cpu").retrieval.encoder
    encoder = SentenceEncoder(weights.hub, fetch_weights(weights))
    texts = Questions(f"{tag}-{part}").texts()
    for _ in range(3):
        encoder.encode(list(islice(texts, BATCH)))
    begin()
    began, batches = monotonic(), 0
    while monotonic() < began + seconds:
        encoder.encode(list(islice(texts, BATCH)))
        batches += 1
    return batches * BATCH / (monotonic() - began)
