"""Questions made from text: their options, a stable id, and a key under which near duplicates are equal.

The one place where questions are made, so the same question has the same id wherever it comes from.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Sequence

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
# A text before options that asks for something else than one of them.
_REQUEST = re.compile(
    r"(?:^|[.!?;:\n][^\S\n]{0,8}|\bplease\s+|\b(?:can|could|will|would) you\s+)"
    r"(?:write|draft|explain|summari[sz]e|compare|contrast|review|translate|implement|create|generate|fix|debug|plan"
    r"|refactor|rewrite|sort|rank|discuss|help|do|check|merge|convert)\b"
    r"|(?:请|帮我|给我)(?:写|解释|总结|比较|翻译|生成|修复|实现|检查|分析每)",
    re.IGNORECASE,
)
# A heading: one to three words without a mark that asks or leaves a gap.
_HEADING = re.compile(r"[A-Za-z][\w'-]*(?:\s+[\w'-]+){0,2}[.:]?", re.ASCII)
MAX_EXAM = 32_768
"""Characters of an exam question in a request, at most: to read options in a longer text would hold the event loop."""

MAX_HOW_TO = 400
"""Characters behind the options, at most, that only say how to answer."""

# A line behind the options that only says how to answer.
_HOW_TO_ANSWER = re.compile(
    r"^\W*(?:(?:the |your |final |correct )*(?:answer|option|choice)|答案)\W*$"
    r"|(?:answer|reply|respond|finish|conclude|return|output|choose|select|pick)"
    r".*(?:letter|option|choice|answer is|one of|\b[A-J]\b)|step by step"
    r"|(?:回答|作答|选择|输出|给出).*(?:字母|选项|答案)|一步一步|逐步",
    re.IGNORECASE,
)
_CJK = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
# A Chinese question about English log lines has about a tenth; an English one that quotes a word far less.
_CHINESE_SHARE = 0.05
# A number with sign, decimals and exponent. A minus is a sign at the front and a dash behind a word, number or bracket.
# Begins with a set of characters, and not with a choice, because that lets the search skip text at C speed.
_NUMBER = re.compile(
    r"""( [-.\d] (?: (?<=\d)\d* | (?<=-)(?<![\w)\]]-)(?:\d+|(?=\.\d)) | (?<=\.)(?<!\w\.)\d+ )
    (?:\.\d+)* (?:e[-+]?\d+\b)? )""",
    re.VERBOSE,
)
_MINUS_SIGNS = "\N{MINUS SIGN}\N{EN DASH}\N{NON-BREAKING HYPHEN}"
_SEPARATOR = "\N{INFORMATION SEPARATOR ONE}"
# Each piece is a few milliseconds of work in C, after which other threads get their turn. Cut before white space.
_PIECE = re.compile(r"[\s\S]{1,65536}\S*")


def split_options(text: str) -> tuple[str, tuple[str, ...]]:
    """Find the lettered options in a question: `(stem, options)`, or `(text, ())` if it has none.

    Options stand one a line, from A on without a gap, two to ten of them; an option goes on over the
    following lines. Of several such runs the last counts, because a question may quote another list before
    its own. Text behind the options (a paragraph after a blank line, or a bare "Answer:") goes to the stem.
    """
    stem, options, tail = _split(text)
    return (f"{stem}\n{tail}".strip() if tail else stem), options


def split_exam(text: str) -> tuple[str, tuple[str, ...]] | None:
    """As `split_options`, of a message that is a question with options and nothing else; `None` for any other.

    A list without a question before it, and one with a request behind it, are no exam.
    """
    if len(text) > MAX_EXAM:
        return None
    stem, options, tail = _split(text)
    if not options or not stem or _REQUEST.search(stem) or _HEADING.fullmatch(stem):
        return None
    # Lines that the last option alone has are about the list, not part of it.
    lines = options[-1].split("\n")
    end = 1 + max(option.count("\n") for option in options[:-1])
    behind = "\n".join([*lines[end:], tail]).strip()
    if len(behind) > MAX_HOW_TO or not all(map(_HOW_TO_ANSWER.search, filter(str.strip, behind.split("\n")))):
        return None
    return f"{stem}\n{behind}".strip(), (*options[:-1], "\n".join(lines[:end]))


def _split(text: str) -> tuple[str, tuple[str, ...], str]:
    """The stem, the options, and what follows them."""
    run = _last_run(list(_MARK.finditer(text)))
    if not 2 <= len(run) <= len(LETTERS):
        return text, (), ""
    ends = [*(mark.start() for mark in run[1:]), len(text)]
    options = [text[mark.end() : end].strip() for mark, end in zip(run, ends, strict=True)]
    last = options[-1]
    if not (tail := _TAIL.search(last)):
        return text[: run[0].start()].strip(), tuple(options), ""
    options[-1] = last[: tail.start()].strip()
    return text[: run[0].start()].strip(), tuple(options), last[tail.start() :].strip()


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


def _bare(text: str) -> str:
    """The text without form. Two numbers in a row are kept apart, so 1 5 is not 15."""
    tokens = [""]
    for piece in _PIECE.findall(text):
        first, *rest = _tokens(piece)
        tokens[-1] += first
        tokens += rest
    *before, last = tokens
    return "".join([token or _SEPARATOR for token in before]) + last


def _tokens(text: str) -> list[str]:
    """Numbers at the odd places, what is left of the text between them at the even ones."""
    text = _stream_safe(text)
    # Folding case can bring compatibility forms back, hence NFKC once more.
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    for sign in _MINUS_SIGNS:
        text = text.replace(sign, "-")
    tokens = _NUMBER.split(text.replace(_SEPARATOR, " "))
    between = _SEPARATOR.join(tokens[::2])
    form = {ord(character): None for character in set(between) - {_SEPARATOR} if _is_form(character)}
    tokens[::2] = between.translate(form).split(_SEPARATOR)
    return tokens


def _is_form(character: str) -> bool:
    """Punctuation, separators and controls. Symbols such as < and + are none: they carry meaning in code."""
    category = unicodedata.category(character)
    return character.isspace() or category[0] in "PZC" or category == "Sk"


def _stream_safe(text: str) -> str:
    """Without combining marks behind 30 others (UAX #15): to normalise such a run takes the square of its length."""
    if marks := re.escape("".join(filter(unicodedata.combining, set(text)))):
        return re.sub(f"([{marks}]{{30}})[{marks}]+", r"\1", text)
    return text


def _digest(parts: Sequence[str]) -> str:
    content = json.dumps(parts, ensure_ascii=False)
    # A lone surrogate, which a JSON request may carry, must not stop the hash.
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]
