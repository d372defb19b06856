"""Indexes: a profile's, of the labelled examples that it names, and a run's own."""

from collections.abc import Sequence
from pathlib import Path

from coe_ray.bench.datasets import load_benchmark
from coe_ray.config import Profile
from coe_ray.files import held
from coe_ray.retrieval import Index, Retriever, SentenceEncoder, build_index, is_built_of
from coe_ray.types import Neighbour, Question
from coe_ray.weights import locate


def build_profile_index(profile: Profile) -> int:
    """Build the index that the endpoint reads; returns its number of rows."""
    encoder = profile.retrieval.encoder
    sentences = SentenceEncoder(encoder.hub, locate(encoder))
    return build_index(profile.index_folder, _examples(profile), sentences)


def profile_index_is_current(profile: Profile) -> bool:
    """Whether the endpoint's index is there, and made of what the profile now names as its examples."""
    return is_built_of(profile.index_folder, _examples(profile), profile.retrieval.encoder.hub)


def ensure_profile_index(profile: Profile) -> None:
    """Build the endpoint's index where there is none, or one of other examples."""
    if not profile_index_is_current(profile):
        build_profile_index(profile)


def ensured_index(profile: Profile, index: Path, examples: Sequence[Question]) -> Retriever:
    """A run's index, made where there is none yet: by one examiner, while those on other nodes wait for it."""
    if not profile.classifier.k:
        return _NoExamples()
    weights = profile.retrieval.encoder
    encoder = SentenceEncoder(weights.hub, locate(weights))
    if not index.is_dir():
        with held(index.with_name(f"{index.name}.lock"), wait=True):
            if not index.is_dir():
                build_index(index, examples, encoder)
    return Index(index, encoder)


class _NoExamples:
    """What a classifier without retrieval has in place of an index."""

    async def nearest(self, _question: Question, _k: int) -> tuple[Neighbour, ...]:
        return ()


def _examples(profile: Profile) -> tuple[Question, ...]:
    source = profile.retrieval.examples
    relative = profile.path(source)
    return known_examples(profile, load_benchmark(relative if relative.is_dir() else source).examples)


def known_examples(profile: Profile, examples: Sequence[Question]) -> tuple[Question, ...]:
    """Those `examples` whose task the profile has."""
    tasks = {task.name for task in profile.task_list}
    return tuple(example for example in examples if example.task in tasks)
