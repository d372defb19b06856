"""Questions that went to a wrong expert, and what the right one would have said. All of it is text of others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coe_ray.core.types import LETTERS

FOLDED = 420
"""Characters of a text from which on it is folded away behind its beginning, or its end."""


_VERDICTS = {
    "correct": "right",
    "wrong": "wrong",
    "unparsed": "no letter could be read",
    "refused": "it refused",
    "failed": "the call failed",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """What an expert said of a question. `of` is the label under which it was, or would have been, asked."""

    expert: str
    of: str
    letter: str | None
    outcome: str
    text: str

    @property
    def verdict(self) -> str:
        return _VERDICTS[self.outcome]


@dataclass(frozen=True, slots=True)
class Misroute:
    """One misrouted question. `options` are (letter, text, whether it is right)."""

    text: str
    options: tuple[tuple[str, str, bool], ...]
    task: str
    label: str
    confidence: float
    neighbours: tuple[Mapping[str, Any], ...]
    replies: tuple[Reply, ...]


def misroutes(summary: Mapping[str, Any]) -> list[Misroute]:
    return [_misroute(each) for each in summary.get("misroutes") or ()]


def _misroute(found: Mapping[str, Any]) -> Misroute:
    options = [
        (letter, text, letter == found["answer"]) for letter, text in zip(LETTERS, found["options"], strict=False)
    ]
    return Misroute(
        found["text"],
        tuple(options),
        found["task"],
        found["label"],
        found["confidence"],
        tuple(found["neighbours"]),
        (_reply(found, "asked", found["label"]), _reply(found, "meant", found["task"])),
    )


def _reply(found: Mapping[str, Any], which: str, of: str) -> Reply:
    said = found[which]
    usual = "correct" if which == "meant" else "wrong" if said["letter"] else "unparsed"
    return Reply(said["expert"], of, said["letter"], said.get("outcome") or usual, said["text"])
