"""Leak check: a scored question must not be among the data that a system was made of, index or mapping."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from coe_ray.core.errors import DataError
from coe_ray.core.questions import near_duplicate_key
from coe_ray.core.types import Question

SHOWN = 5


class Leak(NamedTuple):
    """A scored question and its exact or near duplicate."""

    scored: Question
    known: Question

    def __str__(self) -> str:
        exact = "the same" if self.scored.id == self.known.id else f"near duplicate {self.known.id}"
        place = f" of {self.known.category}" if self.known.category else ""
        return f"{self.scored.id} ({exact}{place}): {self.scored.text[:60]!r}"


def leaks(scored: Iterable[Question], known: Iterable[Question]) -> list[Leak]:
    """The `scored` questions that are among the `known` ones, in whatever spelling or order of options."""
    by_key = {_key(each): each for each in known}
    return [Leak(each, by_key[key]) for each in scored if (key := _key(each)) in by_key]


def refuse_leaks(scored: Sequence[Question], known: Sequence[Question], where: str) -> None:
    """Raises `DataError` that names the leaks."""
    if leaked := leaks(scored, known):
        shown = "\n  ".join(map(str, leaked[:SHOWN]))
        more = f"\n  and {len(leaked) - SHOWN} more" if len(leaked) > SHOWN else ""
        raise DataError(
            f"{len(leaked)} of {len(scored)} scored questions are in {where}:\n  {shown}{more}\n"
            "no figure would be honest; take them out there, or let them be left out with --leave-out-leaks"
        )


def without_leaks(scored: Sequence[Question], known: Sequence[Question]) -> tuple[Question, ...]:
    """The `known` questions that are no scored one."""
    keys = set(map(_key, scored))
    return tuple(each for each in known if _key(each) not in keys)


def _key(question: Question) -> str:
    return near_duplicate_key(question.text, question.options)
