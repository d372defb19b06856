"""Task label and answer letter out of model text, with the name of the rule that matched.

The last match after any reasoning block counts: a model weighs other options on its way to the answer.
"""

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from coe_ray.core.types import UNKNOWN


class Parsed(NamedTuple):
    """What was read, `None` where nothing was, and the rule that read it."""

    value: str | None
    rule: str


_REASONING_END = re.compile(r"</(?:think|thinking|reasoning)>", re.IGNORECASE)
_REASONING_START = re.compile(r"<(?:think|thinking|reasoning)>", re.IGNORECASE)
_TASK = re.compile(r"(?:(?<![a-z])task|任务)\W{0,6}:\s*", re.IGNORECASE)
_FRAME = " \t\n\"'[]()<>.。"

# The article "a" and the pronoun "I" are no letters of options, unless what follows says so.
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
            if len(set(_LISTED_LETTER.findall(said))) > 1:
                return Parsed(None, "options repeated")
            return Parsed(match.group(1).upper(), rule)
    return Parsed(None, "no rule matched")


def likeliest_letter(tokens: Sequence[tuple[str, float]], letters: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """The letters' probabilities among themselves, likeliest first, out of a first token's alternatives.

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
    said = _plain(after_reasoning(text))
    if markers := list(_TASK.finditer(said)):
        return _named(said[markers[-1].end() :].partition("\n")[0], tasks)
    names = _by_folded(tasks)
    if said.strip(_FRAME) in tasks:
        return Parsed(said.strip(_FRAME), "bare label")
    if (bare := _folded(said)) in names:
        return Parsed(names[bare], "bare label")
    # Of names that end at one place the longest: "Integration Test" ends with "Test" too.
    ends = [(end, len(folded), name) for folded, name in names.items() if (end := _last_end(folded, bare)) >= 0]
    return Parsed(max(ends)[2], "last task mentioned") if ends else Parsed(UNKNOWN, "no task named")


def _named(label: str, tasks: Sequence[str]) -> Parsed:
    names, folded = _by_folded(tasks), _folded(label)
    # As it is spelled first: "C++" and "C#" are the same once folded.
    if label.strip(_FRAME) in tasks:
        return Parsed(label.strip(_FRAME), "**Task: …**")
    if folded in names:
        return Parsed(names[folded], "**Task: …**")
    # Longest first: "Test" must not win over "Integration Test" in a list that has both.
    for name in sorted(names, key=len, reverse=True):
        if _last_end(name, folded) >= 0:
            return Parsed(names[name], "task within the label")
    return Parsed(UNKNOWN, "label outside the list")


def _by_folded(tasks: Sequence[str]) -> dict[str, str]:
    return {folded: name for name in (*tasks, UNKNOWN) if (folded := _folded(name))}


def _last_end(name: str, text: str) -> int:
    """Where `name` ends as words of its own in `text`, for the last time; -1 where it does not stand there."""
    return max((m.end() for m in re.finditer(rf"(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])", text)), default=-1)


def _plain(text: str) -> str:
    """Full-width letters and punctuation as their ordinary forms, without emphasis marks."""
    return unicodedata.normalize("NFKC", text).replace("*", "").replace("`", "").strip()


def _folded(text: str) -> str:
    """Case, brackets and punctuation away; words separated by one blank."""
    return " ".join(re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).casefold()))
