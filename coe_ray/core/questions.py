"""Questions out of text: their options, a stable identity, and a key under which near copies are equal.

Served requests, benchmark files and the retrieval index all make their questions here, so the same question
has the same id wherever it comes from.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence

from coe_ray.core.types import LETTERS, Language, Question

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# The escapes are the full-width forms of ( A Z ) . : and the ideographic comma.
_MARK = re.compile(
    r"^[^\S\n]*(?:[(\uff08][^\S\n]*([A-Z\uff21-\uff3a])[^\S\n]*[)\uff09]"
    r"|([A-Z\uff21-\uff3a])[.\uff0e:\uff1a)\uff09\u3001])[^\S\n]*",
    re.MULTILINE,
)
# What follows the last option and is not part of it: a new paragraph, or a bare "Answer:".
_TAIL = re.compile(r"\n[^\S\n]*+(?:\n|(?:(?:the |your )?answer|答案)[^\S\n]*+[:\uff1a]?\s*+\Z)", re.IGNORECASE)
_CJK = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
# A Chinese question about English log lines has about a tenth; an English one that quotes a word far less.
_CHINESE_SHARE = 0.05
# A minus is a sign at the front of a number and a dash behind a word, number or bracket.
_NUMBER = re.compile(r"(?:(?<![\w)\]])-)?(?:\d+|(?<!\w)(?=\.\d))(?:\.\d+)*(?:e[-+]?\d+\b)?")
_MINUS_SIGNS = str.maketrans({"\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "\N{NON-BREAKING HYPHEN}": "-"})
_MARKS = 30


def split_options(text: str) -> tuple[str, tuple[str, ...]]:
    """Find the lettered options in a question: `(stem, options)`, or `(text, ())` if it has none.

    Options stand one a line, from A on without a gap, two to ten of them; an option goes on over the
    following lines. Of several such runs the last counts, because a question may quote another list before
    its own. Text behind the options (a paragraph after a blank line, or a bare "Answer:") goes to the stem.
    """
    run = _last_run(list(_MARK.finditer(text)))
    if not 2 <= len(run) <= len(LETTERS):
        return text, ()
    ends = [*(mark.start() for mark in run[1:]), len(text)]
    options = [text[mark.end() : end].strip() for mark, end in zip(run, ends, strict=True)]
    stem, last = text[: run[0].start()].strip(), options[-1]
    if tail := _TAIL.search(last):
        stem = f"{stem}\n{last[tail.start() :].strip()}".strip()
        options[-1] = last[: tail.start()].strip()
    return stem, tuple(options)


def question_id(text: str, options: Sequence[str] = ()) -> str:
    """Hash the exact content: 16 hex digits, equal only for the same text and the same options in order."""
    return _digest([text, *options])


def near_duplicate_key(text: str, options: Sequence[str] = ()) -> str:
    """Hash what is left of a question when form is taken away: 16 hex digits, equal for near duplicates.

    Compatibility forms (NFKC), case, white space, punctuation and the order of the options do not count.
    Numbers do, with sign and decimal point: time-series questions differ in nothing else.
    """
    return _digest([_bare(text), *sorted(map(_bare, options))])


def language_of(text: str) -> Language:
    """Name the language: Chinese if a noticeable share of the letters is."""
    if text.isascii():
        return "english"
    letters = sum(map(str.isalpha, text))
    return "chinese" if len(_CJK.findall(text)) > _CHINESE_SHARE * letters else "english"


def make_question(
    text: str,
    options: Sequence[str] = (),
    answer: str | None = None,
    task: str | None = None,
    language: Language | None = None,
    category: str | None = None,
) -> Question:
    """Make a question with its id; the language is read off the content unless it is given."""
    return Question(
        id=question_id(text, options),
        text=text,
        options=tuple(options),
        answer=answer,
        task=task,
        language=language or language_of("\n".join([text, *options])),
        category=category,
    )


def _last_run(marks: Sequence[re.Match[str]]) -> list[re.Match[str]]:
    """Pick A, B, C, … from the last A that a B follows; empty if there is none or a letter is left out.

    A letter out of turn between two options (`C:\\temp`, say) is a line of the first of them.
    """
    letters = [_ALPHABET.index(unicodedata.normalize("NFKC", mark[1] or mark[2])) for mark in marks]
    second = _last(letters, 1, len(letters))
    first = _last(letters, 0, second)
    if first < 0:
        return []
    run: list[re.Match[str]] = []
    gap = False
    for letter, mark in zip(letters[first:], marks[first:], strict=True):
        if letter == len(run):
            run.append(mark)
            gap = False
        # A, B, D is a list with a hole, not a list of two.
        gap = gap or letter > len(run)
    return [] if gap else run


def _last(letters: Sequence[int], letter: int, end: int) -> int:
    """Find the last place of a letter before `end`; -1 if there is none."""
    return next((place for place in reversed(range(end)) if letters[place] == letter), -1)


def _stream_safe(text: str) -> str:
    """Without combining marks behind 30 others (UAX #15): to normalise such a run takes the square of its length."""
    if text.isascii():
        return text
    kept, run = [], 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run <= _MARKS:
            kept.append(character)
    return "".join(kept)


def _bare(text: str) -> str:
    text = _stream_safe(text)
    # Folding case can bring compatibility forms back, hence NFKC once more.
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(_tokens(text.translate(_MINUS_SIGNS)))


def _tokens(text: str) -> Iterator[str]:
    """List numbers and what stands between them; two numbers in a row are kept apart, so 1 5 is not 15."""
    end = 0
    for number in _NUMBER.finditer(text):
        between = _without_form(text[end : number.start()])
        yield between or "\N{INFORMATION SEPARATOR ONE}"
        yield number[0]
        end = number.end()
    yield _without_form(text[end:])


def _without_form(text: str) -> str:
    """Drop punctuation, separators and controls. Symbols such as < and + stay: they carry meaning in code."""
    return "".join(
        character
        for character in text
        if not character.isspace()
        and (category := unicodedata.category(character))[0] not in "PZC"
        and category != "Sk"
    )


def _digest(parts: Sequence[str]) -> str:
    content = json.dumps(parts, ensure_ascii=False)
    # A lone surrogate, which a JSON request may carry, must not stop the hash.
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]
