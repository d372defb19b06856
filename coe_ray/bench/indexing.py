"""Indexes: a profile's, of the labelled examples that it names, and a run's own."""

from collections.abc import Sequence
from pathlib import Path

from coe_ray.bench.datasets.load import load_benchmark
from coe_ray.core.files import hold_lock
from coe_ray.core.types import Neighbour, Question
from coe_ray.llm.weights import fetch_weights
from coe_ray.profile.profile import Profile
from coe_ray.retrieval.encoder import SentenceEncoder, encoder_name
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


def opened_profile_index(profile: Profile) -> tuple[ExampleIndex, tuple[Question, ...]]:
    """The endpoint's index, built where there is none, and the examples in it."""
    ensure_profile_index(profile)
    return ExampleIndex(profile.index_folder, _encoder(profile)), _examples(profile)


def ensured_index(profile: Profile, index: Path, examples: Sequence[Question]) -> Retriever:
    """A run's index, made where there is none yet."""
    return Indexes(profile).at(index, examples, profile.classifier.k)


class Indexes:
    """The indexes that one profile's classifiers look into, each opened once; all share one encoder."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._encoder: SentenceEncoder | None = None
        self._opened: dict[Path, ExampleIndex] = {}

    def at(self, folder: Path, examples: Sequence[Question], k: int) -> Retriever:
        """The one at `folder`, built of `examples` where there is none; nothing to look into where `k` is 0."""
        if not k:
            return NoExamples()
        if folder not in self._opened:
            self._opened[folder] = self._index(folder, examples)
        return self._opened[folder]

    def _index(self, folder: Path, examples: Sequence[Question]) -> ExampleIndex:
        self._encoder = self._encoder or _encoder(self._profile)
        if not has_index(folder):
            # By one examiner, while those on other nodes wait for it.
            with hold_lock(folder.with_name(f"{folder.name}.lock"), wait=True):
                if not has_index(folder):
                    build_index(folder, examples, self._encoder)
        return ExampleIndex(folder, self._encoder)


class NoExamples:
    """What a classifier without retrieval has in place of an index."""

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
