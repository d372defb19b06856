"""Random draws and question drafts shared by all task generators.

Only the raw PCG64 bit stream is used: numpy promises that one forever, but not the streams of the
higher-level distributions, and the shipped bytes must not change with a numpy release.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from numpy.random import PCG64

Item = TypeVar("Item")


@dataclass(frozen=True)
class Draft:
    """A question before its options get letters."""

    stem: str
    right: str
    wrong: tuple[str, str, str]
    why: str


class Dice:
    """Integer-only random source; the key says which independent stream it reads."""

    def __init__(self, *key: int) -> None:
        self._bits = PCG64(list(key))

    def below(self, limit: int) -> int:
        """Draw from 0 … limit - 1; the modulo bias is far below anything visible at 64 bits."""
        return int(self._bits.random_raw()) % limit

    def between(self, low: int, high: int) -> int:
        """Draw from low … high, both included."""
        return low + self.below(high - low + 1)

    def pick(self, items: Sequence[Item]) -> Item:
        """Draw one item."""
        return items[self.below(len(items))]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        """Return the items in random order."""
        pool = list(items)
        return [pool.pop(self.below(len(pool))) for _ in items]

    def sample(self, items: Sequence[Item], count: int) -> list[Item]:
        """Draw distinct positions of the items."""
        return self.shuffled(items)[:count]


def draft(stem: str, right: str, wrong: Sequence[str], why: str) -> Draft:
    """Build a draft, refusing options that would make two answers right."""
    if len({right, *wrong}) != 4 or len(wrong) != 3:
        raise ValueError(f"options are not four distinct texts: {right!r}, {list(wrong)!r}")
    return Draft(stem, right, (wrong[0], wrong[1], wrong[2]), why)
