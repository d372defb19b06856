"""Retrieval indexes: a profile's, made of the labelled examples that it names, and a run's own."""

import hashlib
import uuid
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

from coe_ray.bench.datasets.load import load_benchmark
from coe_ray.core.files import hold_lock
from coe_ray.core.types import Neighbour, Question
from coe_ray.llm.weights import fetch_weights
from coe_ray.profile.profile import Profile
from coe_ray.retrieval.batching import BatchingEncoder
from coe_ray.retrieval.encoder import Encoder, SentenceEncoder, Vectors, encoder_name
from coe_ray.retrieval.index import ExampleIndex, Retriever, build_index, has_index, is_index_of


def build_profile_index(profile: Profile) -> int:
    """Build the index that the endpoint reads; returns its number of rows."""
    return build_index(profile.index_folder, _examples(profile), _encoder(profile))


def profile_index_is_current(profile: Profile) -> bool:
    """Whether the endpoint's index is there, and made of what the profile now names as its examples."""
    return is_index_of(profile.index_folder, _examples(profile), encoder_name(profile.retrieval.encoder.hub))


def ensure_profile_index(profile: Profile) -> None:
    """Build the endpoint's index where there is none, or one of other examples."""
    if not profile_index_is_current(profile):
        build_profile_index(profile)


def open_profile_index(profile: Profile) -> tuple[ExampleIndex, tuple[Question, ...]]:
    """The endpoint's index, built where there is none, and the examples in it."""
    ensure_profile_index(profile)
    return ExampleIndex(profile.index_folder, _encoder(profile)), _examples(profile)


class Indexes:
    """The indexes that one profile's classifiers look into, each opened once; all share one encoder.

    With a folder for `vectors` no text is encoded twice, in whatever process.
    """

    def __init__(self, profile: Profile, vectors: Path | None = None) -> None:
        self._profile = profile
        self._vectors = vectors
        self._opened: dict[Path, ExampleIndex] = {}

    def open(self, folder: Path, examples: Sequence[Question], k: int) -> Retriever:
        """The index at `folder`, built of `examples` where there is none; an empty one where `k` is 0."""
        if not k:
            return NoExamples()
        if folder not in self._opened:
            if not has_index(folder):
                # One worker builds it, while those on other nodes wait.
                with hold_lock(folder.with_name(f"{folder.name}.lock"), wait=True):
                    if not has_index(folder):
                        build_index(folder, examples, self._encoder)
            self._opened[folder] = ExampleIndex(folder, self._batching)
        return self._opened[folder]

    @cached_property
    def _encoder(self) -> Encoder:
        if self._vectors is None:
            return _encoder(self._profile)
        return StoredVectors(
            encoder_name(self._profile.retrieval.encoder.hub), lambda: _encoder(self._profile), self._vectors
        )

    @cached_property
    def _batching(self) -> BatchingEncoder:
        return BatchingEncoder(self._encoder)


class StoredVectors:
    """Encoder that keeps each vector in a file of `folder`, where the next process finds it.

    Each process appends to a file of its own, named for the dimension: 16 bytes of the text's hash and the float32
    values a vector. What a crash cuts off at the end of a file is encoded again. The encoder itself is loaded when the
    first vector is missing, which takes seconds.
    """

    def __init__(self, name: str, load_encoder: Callable[[], Encoder], folder: Path) -> None:
        self.name = name
        self._encoder = cache(load_encoder)
        self._folder = folder
        self._own_file: BinaryIO | None = None
        self._stored: dict[bytes, Vectors] = {}
        for file in folder.glob("*.bin"):
            dimension = int(file.name.partition("-")[0])
            rows = np.fromfile(file, np.dtype([("key", np.void, 16), ("vector", np.float32, dimension)]))
            self._stored.update(zip(map(bytes, rows["key"]), rows["vector"], strict=True))

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Raises `OSError` where the file cannot be written."""
        keys = [
            hashlib.blake2b(f"{self.name}\0{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
            for text in texts
        ]
        missing = [place for place, key in enumerate(keys) if key not in self._stored]
        vectors = [self._stored.get(key) for key in keys]
        if missing:
            for place, vector in zip(missing, self._encoder().encode([texts[each] for each in missing]), strict=True):
                self._append(keys[place], vector)
                vectors[place] = vector
        return np.array(vectors, np.float32)

    def _append(self, key: bytes, vector: Vectors) -> None:
        if self._own_file is None:
            self._folder.mkdir(exist_ok=True)
            self._own_file = (self._folder / f"{len(vector)}-{uuid.uuid4().hex}.bin").open("ab", buffering=0)
        self._own_file.write(key + vector.astype(np.float32).tobytes())


class NoExamples:
    """Retriever of a classifier without retrieval: it finds nothing."""

    async def nearest(self, _question: Question, _k: int) -> tuple[Neighbour, ...]:
        return ()


def _encoder(profile: Profile) -> SentenceEncoder:
    weights = profile.retrieval.encoder
    return SentenceEncoder(weights.hub, fetch_weights(weights))


def _examples(profile: Profile) -> tuple[Question, ...]:
    source = profile.retrieval.examples
    relative = profile.path(source)
    benchmark = load_benchmark(relative if relative.is_dir() else source, tasks=profile.task_list)
    return known_examples(profile, benchmark.examples)


def known_examples(profile: Profile, examples: Sequence[Question]) -> tuple[Question, ...]:
    """Those `examples` whose task the profile has."""
    tasks = {task.name for task in profile.task_list}
    return tuple(example for example in examples if example.task in tasks)
