"""Rate of the encoder alone, which bounds the rate of questions that were never seen before."""

import os
from functools import partial
from itertools import islice
from time import monotonic

from coe_ray.llm.weights import fetch_weights
from coe_ray.profile.profile import load_profile
from coe_ray.retrieval.encoder import SentenceEncoder
from jobs.loading.parallel import run_in_processes, wait_for_others
from jobs.loading.questions import QuestionSource

BATCH = 32
"""Large enough that no thread of the encoder waits for another at the end of a batch."""


def measure_encoder(tag: str, seconds: float) -> float:
    """Never-seen texts a second, of the kind that the loads ask, in batches, on all cores of this machine.

    The better of one encoder and one for each core: which it is depends on how many threads an encoder takes.
    """
    counts = {1, len(os.sched_getaffinity(0))}
    return max(sum(run_in_processes(partial(_measure_process, f"{tag}-{count}", seconds), count)) for count in counts)


def _measure_process(tag: str, seconds: float, part: int) -> float:
    """Texts a second by the encoder of this process."""
    weights = load_profile("local-cpu").retrieval.encoder
    encoder = SentenceEncoder(weights.hub, fetch_weights(weights))
    texts = QuestionSource(f"{tag}-{part}").texts()
    for _ in range(3):
        encoder.encode(list(islice(texts, BATCH)))
    wait_for_others()
    started, batches = monotonic(), 0
    while monotonic() < started + seconds:
        encoder.encode(list(islice(texts, BATCH)))
        batches += 1
    return batches * BATCH / (monotonic() - started)
