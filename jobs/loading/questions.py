"""Where the questions of a load come from: never the same twice, some in rotation, or a benchmark's own."""

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
class Questions:
    """`data`: a benchmark's test questions with their options, else made up. `repeat`: that many in rotation.

    `tag` stands in every made-up question: with another one, an endpoint that remembers has seen none of them.
    """

    tag: str
    repeat: int | None = None
    data: str | None = None

    def texts(self, part: int = 0, parts: int = 1) -> Iterator[str]:
        """Without end, for the process number `part` of `parts`. Raises `DataError` for data that cannot be had."""
        if self.data is None and self.repeat is None:
            return (made_up(number, self.tag) for number in itertools.count(part, parts))
        rotation = self._benchmark(self.data) if self.data else [made_up(each, self.tag) for each in self._numbers()]
        # Each process begins elsewhere, or all would ask the same question at the same moment.
        begin = part * len(rotation) // parts
        return itertools.cycle(rotation[begin:] + rotation[:begin])

    def _benchmark(self, data: str) -> list[str]:
        texts = [question.full_text for question in load_benchmark(data).questions[: self.repeat]]
        if self.repeat is not None and len(texts) < self.repeat:
            raise DataError(f"{data} has {len(texts)} questions; ask for no more of them with --repeat")
        return texts

    def _numbers(self) -> range:
        return range(self.repeat or 0)


def made_up(number: int, tag: str) -> str:
    """A short question with options, of about 45 tokens. (The sample's have 113 in the mean: `data` asks those.)"""
    stem = f"Case {number} of {tag}: {_TOPICS[number % len(_TOPICS)]}. What first?"
    options = ("its dashboards", "the runbook", "logs of its node", f"ticket {number}")
    return "\n".join([stem, *(f"{letter}. {option}" for letter, option in zip("ABCD", options, strict=True))])
