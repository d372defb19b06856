"""The index of a profile: the labelled examples of its benchmark, as far as the profile has their tasks."""

from pathlib import Path

from coe_ray.bench.datasets import load_benchmark
from coe_ray.config import Profile
from coe_ray.retrieval import SentenceEncoder, build_index
from coe_ray.types import Question
from coe_ray.weights import locate


def build_profile_index(profile: Profile) -> int:
    """Build the index that the endpoint reads; returns its number of rows."""
    source = profile.retrieval.examples
    relative = profile.path(source)
    benchmark = load_benchmark(relative if relative.is_dir() else source)
    return index_examples(profile, benchmark.examples, profile.index_folder)


def index_examples(profile: Profile, examples: tuple[Question, ...], folder: Path) -> int:
    """Build an index of those `examples` whose task the profile has; returns its number of rows."""
    tasks = {task.name for task in profile.task_list}
    encoder = profile.retrieval.encoder
    known = [example for example in examples if example.task in tasks]
    return build_index(folder, known, SentenceEncoder(encoder.hub, locate(encoder)))
