"""Small parts for tests: a leaderboard, an encoder without weights, a retriever, a model that remembers its calls."""

import hashlib
from collections.abc import AsyncIterator, Sequence

import numpy as np

from coe_ray.core.chat_model import stream_completion
from coe_ray.core.types import Call, Completion, Delta, Neighbour, Question
from coe_ray.retrieval.encoder import Vectors
from coe_ray.routing.leaderboard import Leaderboard

BOARD = Leaderboard.from_scores(
    [
        ("alpha", "Build", 2, 4),
        ("beta", "Build", 3, 4),
        ("alpha", "Integration Test", 9, 10),
        ("beta", "Integration Test", 1, 10),
    ]
)
"""beta is best at Build, alpha at Integration Test and on average."""


class WordEncoder:
    """Bags of words: texts with the same words are near. Counts its calls; fails on texts with `poison`."""

    def __init__(self, name: str = "words", dimension: int = 64) -> None:
        self.name = name
        self.batches: list[int] = []
        self._dimension = dimension

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.batches.append(len(texts))
        if any("poison" in text for text in texts):
            raise RuntimeError("encoder broke")
        vectors = np.zeros((len(texts), self._dimension), dtype=np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for word in text.lower().split():
                vector[int(hashlib.sha256(word.encode()).hexdigest(), 16) % self._dimension] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)  # type: ignore[no-any-return]

    def count_tokens(self, texts: Sequence[str]) -> int:
        return sum(len(text.split()) for text in texts)


class Shelf:
    """A retriever that always finds the same."""

    def __init__(self, *neighbours: Neighbour) -> None:
        self._neighbours = neighbours

    async def nearest(self, question: Question, k: int) -> tuple[Neighbour, ...]:
        return self._neighbours[:k]


class Listener:
    """A model that says one thing and remembers what it was asked."""

    def __init__(self, name: str, reply: str) -> None:
        self.name = name
        self.calls: list[Call] = []
        self._reply = reply

    async def complete(self, call: Call) -> Completion:
        self.calls.append(call)
        return Completion(self._reply)

    def stream(self, call: Call) -> AsyncIterator[Delta]:
        return stream_completion(self, call)
