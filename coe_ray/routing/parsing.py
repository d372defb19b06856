"""Parser of model text: task label and answer letter, each with the name of the rule that matched.

The last match after any reasoning block counts: a model weighs other options on its way to the answer.
"""

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from coe_ray.core.types import UNKNOWN


class Parsed(NamedTuple):
    """A value read from text (`None`: nothing was), and the rule that matched."""

    value: str | None
    rule: str


NO_TASK = Parsed(UNKNOWN, "no task named")

_REASONING_END = re.compile(r"</(?:think|thinking|reasoning)>", re.IGNORECASE)
_REASONING_START = re.compile(r"<(?:think|thinking|reasoning)>", re.IGNORECASE)
_TASK = re.compile(r"(?:(?<![a-z])task|任务)\W{0,6}:\s*", re.IGNORECASE)
_FRAME = " \t\n\"'[]()<>.。"

# The article "a" and the pronoun "I" are not option letters, unless the next word says so.
_BEFORE_A_WORD = r"[ \t]+(?!(?:because|since|as|is|for|due)\b)"
_X = rf"(?!(?-i:a|i|I){_BEFORE_A_WORD}[a-z])([A-J])(?![\w'’/+#])"
_FIRST_X = rf"(?!(?:a|i){_BEFORE_A_WORD}(?-i:[a-z])){_X}"
_CHINESE_X = r"[^\w\n]{0,4}(?:选项)?\s*([A-J])(?![a-z/+#])"
_OPTION = r"[^\w\n]{0,4}(?:(?:option|choice)\s*)?[^\w\n]{0,4}"
_LETTER_RULES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern, re.IGNORECASE))
    for name, pattern in (
        ("the answer is (X)", rf"answer\s+(?:is|(?:would|should|must)\s+be)\s*(?::\s*)?{_OPTION}{_X}"),
        ("not X but Y", rf"answer\s+is\s+not\b[^\n.]{{0,80}}?\bbut\s+(?:rather\s+)?{_OPTION}{_X}"),
        ("答案是 X", rf"答案(?:应该|应)?(?:是|为|选)?\s*{_CHINESE_X}"),
        ("不是 X，而是 Y", rf"答案(?:并)?不是[^\n。]{{0,80}}?而是\s*{_CHINESE_X}"),
        ("answer: X", rf"answer\W{{0,4}}:\W{{0,4}}(?:option\s*)?{_FIRST_X}"),
        ("boxed", r"\\boxed\{\s*(?:\\text\{)?\s*([A-J])\b"),
        (
            "option X",
            rf"(?:correct|right|best|正确)\s*(?:的)?(?:option|choice|选项)\s*(?:is|是|为)?\W{{0,4}}{_X}",
        ),
        ("选 X", r"(?<!不)(?<!不[能应会要])(?<!不应该)选择?\s*[^\w\n]{0,3}([A-J])(?![a-z/+#])"),
    )
)
_BARE_LETTER = re.compile(r"^\W*(?:(?:(?:the )?answer|option|choice|选项)\W*)?([A-J])(?![+#])\W*$", re.IGNORECASE)
_LEADING_LETTER = re.compile(r"^\W*([A-J])\s*[.):、]")
_LISTED_LETTER = re.compile(r"^[^\w\n]*([A-J])\s*[.):、]", re.MULTILINE)


def after_reasoning(text: str) -> str:
    """The text after the last reasoning block; empty where a block was opened and never closed."""
    ends = list(_REASONING_END.finditer(text))
    rest = text[ends[-1].end() :] if ends else text
    unclosed = _REASONING_START.search(rest)
    return rest[: unclosed.start()] if unclosed else rest


def parse_letter(text: str, letters: Sequence[str]) -> Parsed:
    """The answer letter, or `None` (unparsed). A letter that is not an option counts as unparsed."""
    reply = _plain(after_reasoning(text))
    matches = [
        (match.end(), match.group(1).upper(), name)
        for name, pattern in _LETTER_RULES
        for match in pattern.finditer(reply)
    ]
    if matches:
        _, letter, rule = max(matches)
        return Parsed(letter, rule) if letter in letters else Parsed(None, "letter outside the options")
    for rule, pattern in (("bare letter", _BARE_LETTER), ("leading letter", _LEADING_LETTER)):
        if (match := pattern.match(reply)) and match.group(1).upper() in letters:
            if len(set(_LISTED_LETTER.findall(reply))) > 1:
                return Parsed(None, "options repeated")
            return Parsed(match.group(1).upper(), rule)
    return Parsed(None, "no rule matched")


def likeliest_letter(tokens: Sequence[tuple[str, float]], letters: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Option letters with their probabilities among themselves, likeliest first, from a first token's alternatives.

    Spellings of one letter (`A`, ` A`, `(A`) count together. Empty where no letter is among the tokens.
    """
    chances: dict[str, float] = {}
    options = tuple(letters)  # in a text, "" and "AB" would be found too
    for token, logprob in tokens:
        if (letter := _plain(token).strip("(（").strip()) in options:
            chances[letter] = chances.get(letter, 0.0) + math.exp(logprob)
    total = sum(chances.values())
    ranked = sorted(chances.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple((letter, chance / total) for letter, chance in ranked) if total else ()


def parse_task(text: str, tasks: Sequence[str]) -> Parsed:
    """The task named last, as it is spelled in the list, or `UNKNOWN`.

    `Parsed.value` is never `None`: a label outside the list is *unknown*, and the rule says so.
    """
    names = _task_names((*tasks, UNKNOWN))
    reply = _plain(after_reasoning(text))
    if markers := list(_TASK.finditer(reply)):
        return _parse_label(reply[markers[-1].end() :].partition("\n")[0], tasks, names)
    if reply.strip(_FRAME) in tasks:
        return Parsed(reply.strip(_FRAME), "bare label")
    folded = _folded(reply)
    if folded in names.by_folded:
        return Parsed(names.by_folded[folded], "bare label")
    # Of names that end at one place the longest: "Integration Test" ends with "Test" too.
    mentions = [(end, len(name), name) for name, end in names.mentions(folded)]
    return Parsed(names.by_folded[max(mentions)[2]], "last task mentioned") if mentions else NO_TASK


def _parse_label(label: str, tasks: Sequence[str], names: "_TaskNames") -> Parsed:
    # As it is spelled first: "C++" and "C#" are the same once folded.
    if label.strip(_FRAME) in tasks:
        return Parsed(label.strip(_FRAME), "**Task: …**")
    folded = _folded(label)
    if folded in names.by_folded:
        return Parsed(names.by_folded[folded], "**Task: …**")
    # Longest first: "Test" must not win over "Integration Test" in a list that has both.
    mentions = [(len(name), -names.rank[name], name) for name, _ in names.mentions(folded)]
    if mentions:
        return Parsed(names.by_folded[max(mentions)[2]], "task within the label")
    return Parsed(UNKNOWN, "label outside the list")


class _TaskNames:
    """Task list prepared for search: names by their folded form, and one pattern for all of them."""

    def __init__(self, tasks: Sequence[str]) -> None:
        self.by_folded = {folded: name for name in tasks if (folded := _folded(name))}
        self.rank = {folded: place for place, folded in enumerate(self.by_folded)}
        # Longest first, so that the longest name that begins at a place matches; in a look-ahead, as names may overlap.
        longest_first = "|".join(map(re.escape, sorted(self.by_folded, key=len, reverse=True)))
        self._pattern = re.compile(rf"(?<![a-z0-9])(?=({longest_first})(?![a-z0-9]))")

    def mentions(self, text: str) -> Iterator[tuple[str, int]]:
        """Folded names that stand in `text` as words of their own, the longest at each place, with their ends."""
        return ((match[1], match.end(1)) for match in self._pattern.finditer(text))


_task_names = lru_cache(maxsize=16)(_TaskNames)  # few lists are in use at a time: of snapshots and scenarios


def _plain(text: str) -> str:
    """`text` with ordinary forms for full-width letters and punctuation, and without emphasis marks."""
    return unicodedata.normalize("NFKC", text).replace("*", "").replace("`", "").strip()


def _folded(text: str) -> str:
    """`text` in lower case without brackets and punctuation, words separated by one space."""
    return " ".join(re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).casefold()))
