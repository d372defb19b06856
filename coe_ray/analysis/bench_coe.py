"""Bench-CoE, the trained rival: a head on the encoder's embeddings tells tasks apart (Bench-CoE's own paper
fine-tunes a whole model: finetune.py).

In domain it learns from the labelled examples of this task list. Moved, it learned from another list's, and what it
names there is translated by the profile's `study.transfer`: a head for five tasks cannot name eight.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression

from coe_ray.core.types import UNKNOWN
from coe_ray.retrieval.encoder import Vectors

FEWEST_TASKS = 2


def trained_labels(known: Vectors, tasks: Sequence[str], vectors: Vectors) -> tuple[str, ...] | None:
    """The task that the head names for each of the `vectors`, learned from `known` ones with their `tasks`.

    `None` where there are fewer than two tasks to tell apart.
    """
    if len(set(tasks)) < FEWEST_TASKS:
        return None
    head = LogisticRegression(C=10.0, max_iter=2000)
    head.fit(np.asarray(known, dtype=np.float64), list(tasks))
    return tuple(map(str, head.predict(np.asarray(vectors, dtype=np.float64))))


def translated(labels: Sequence[str], transfer: Mapping[str, str]) -> tuple[str, ...]:
    """Another list's labels in this list's words; what has no word here is *unknown*."""
    return tuple(transfer.get(label, UNKNOWN) for label in labels)
