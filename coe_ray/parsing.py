"""Task label and answer letter out of model text, with the name of the rule that matched.

The last match after any reasoning block counts: a model weighs other options on its way to the answer.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from coe_ray.types import UNKNOWN


class Parsed(NamedTuple):
    """What was read, `None` where nothing was, and the rule that read it."""

    value: str | None
    rule: str


_REASONING_END = re.compile(r"</(?:think|thinking|reasoning)>", re.IGNORECASE)
_REASONING_START = re.compile(r"<(?:think|thinking|reasoning)>", re.IGNORECASE)
_TASK = re.compile(r"(?:task|任务)\W{0,6}[::]\s*([^\n]*)", re.IGNORECASE)
_LETTER_RULES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("the answer is (X)", re.compile(r"answer\s+is\s*:?\s*[^\w\n]{0,4}([A-J])(?![\w'])", re.IGNORECASE)),
    (
        "答案是 X",
        re.compile(r"答案(?:应该|应)?(?:是|为|选)?\s*[^\w\n]{0,4}(?:选项)?\s*([A-J])(?![a-z])", re.IGNORECASE),
    ),
    ("answer: X", re.compile(r"answer\W{0,4}:\W{0,4}(?:option\s*)?([A-J])(?![\w'])", re.IGNORECASE)),
    ("boxed", re.compile(r"\\boxed\{\s*(?:\\text\{)?\s*([A-J])\b", re.IGNORECASE)),
    (
        "option X",
        re.compile(
            r"(?:correct|right|best|正确)\s*(?:的)?(?:option|choice|选项)\s*(?:is|是|为)?\W{0,4}([A-J])(?![\w'])",
            re.IGNORECASE,
        ),
    ),
    ("选 X", re.compile(r"(?:选择|应选|故选|选)\s*[^\w\n]{0,3}([A-J])(?![a-z])", re.IGNORECASE)),
)
_BARE_LETTER = re.compile(r"^\W*([A-J])\W*$", re.IGNORECASE)
_LEADING_LETTER = re.compile(r"^\W*([A-J])\s*[.):、]")


def after_reasoning(text: str) -> str:
    """The text behind the last reasoning block; empty where a block was opened and never closed."""
    ends = list(_REASONING_END.finditer(text))
    rest = text[ends[-1].end() :] if ends else text
    unclosed = _REASONING_START.search(rest)
    return rest[: unclosed.start()] if unclosed else rest


def parse_letter(text: str, letters: Sequence[str]) -> Parsed:
    """The answer letter, or `None` (unparsed). A letter that is no option counts as unparsed."""
    said = _plain(after_reasoning(text))
    found = [
        (match.end(), match.group(1).upper(), name)
        for name, pattern in _LETTER_RULES
        for match in pattern.finditer(said)
    ]
    if found:
        _, letter, rule = max(found)
        return Parsed(letter, rule) if letter in letters else Parsed(None, "letter outside the options")
    for rule, pattern in (("bare letter", _BARE_LETTER), ("leading letter", _LEADING_LETTER)):
        if (match := pattern.match(said)) and match.group(1).upper() in letters:
            return Parsed(match.group(1).upper(), rule)
    return Parsed(None, "no rule matched")


def parse_task(text: str, tasks: Sequence[str]) -> Parsed:
    """The task named last, as it is spelled in the list, or `UNKNOWN`.

    `Parsed.value` is never `None`: a label outside the list is *unknown*, and the rule says so.
    """
    said = _plain(after_reasoning(text))
    names = {_folded(name): name for name in (*tasks, UNKNOWN)}
    if labels := _TASK.findall(said):
        return _named(labels[-1], names)
    if (bare := _folded(said)) in names:
        return Parsed(names[bare], "bare label")
    mentions = [
        (position, len(folded), name)
        for folded, name in names.items()
        if (position := _folded(said).rfind(folded)) >= 0
    ]
    if mentions:
        return Parsed(max(mentions)[2], "last task mentioned")
    return Parsed(UNKNOWN, "no task named")


def _named(label: str, names: dict[str, str]) -> Parsed:
    folded = _folded(label)
    if folded in names:
        return Parsed(names[folded], "**Task: …**")
    # Longest first: "Test" must not win over "Integration Test" in a list that has both.
    for name in sorted(names, key=len, reverse=True):
        if re.search(rf"(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])", folded):
            return Parsed(names[name], "task within the label")
    return Parsed(UNKNOWN, "label outside the list")


def _plain(text: str) -> str:
    """Full-width letters and punctuation as their ordinary forms, without emphasis marks."""
    return unicodedata.normalize("NFKC", text).replace("*", "").replace("`", "").strip()


def _folded(text: str) -> str:
    """Case, brackets and punctuation away; words separated by one blank."""
    return " ".join(re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).casefold()))
