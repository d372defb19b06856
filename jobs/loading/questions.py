"""Source of a load's questions: generated and never the same twice, some in rotation, or a benchmark's."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from coe_ray.bench.datasets.load import load_benchmark
from coe_ray.core.errors import DataError

_TOPICS = (
    "a deployment was rolled back and its pods restart",
    "the message queue grows while its consumers sleep",
    "the build cache is cold and every pipeline waits",
    "a certificate expires and clients close connections",
    "the primary database lags and reads become stale",
)


@dataclass(frozen=True, slots=True)
class QuestionSource:
    """`data`: a benchmark's test questions with their options, else generated. `repeat`: that many in rotation.

    `tag` is part of every generated question: under a new one, an endpoint's caches have seen none of them.
    """

    tag: str
    repeat: int | None = None
    data: str | None = None

    def texts(self, part: int = 0, parts: int = 1) -> Iterator[str]:
        """Without end, for the process number `part` of `parts`. Raises `DataError` for data that cannot be had."""
        if self.data is None and self.repeat is None:
            return (generate_question(number, self.tag) for number in itertools.count(part, parts))
        generated = (generate_question(number, self.tag) for number in range(self.repeat or 0))
        rotation = self._benchmark(self.data) if self.data else list(generated)
        # Each process begins elsewhere, or all would send the same question at the same moment.
        begin = part * len(rotation) // parts
        return itertools.cycle(rotation[begin:] + rotation[:begin])

    def _benchmark(self, data: str) -> list[str]:
        texts = [question.full_text for question in load_benchmark(data).questions[: self.repeat]]
        if self.repeat is not None and len(texts) < self.repeat:
            raise DataError(f"{data} has {len(texts)} questions; give no more than that as --repeat")
        return texts


def generate_question(number: int, tag: str) -> str:
    """A short question with options, of about 45 tokens. (The sample's have 113 in the mean.)"""
    stem = f"Case {number} of {tag}: {_TOPICS[number % len(_TOPICS)]}. What first?"
    options = ("its dashboards", "the runbook", "logs of its node", f"ticket {number}")
    return "\n".join([stem, *(f"{letter}. {option}" for letter, option in zip("ABCD", options, strict=True))])
