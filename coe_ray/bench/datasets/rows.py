"""Rows of a benchmark file: what each asks, and whether it can be scored; one rule for the readers of all formats."""

import re
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from coe_ray.core.questions import make_question
from coe_ray.core.types import LETTERS, Language, Question
from coe_ray.profile.tasks import TASK_SETS

_ONE = re.compile(r"[\[(]?([A-Z])[\])]?[\s.,;\u3001]*")
_LISTED = re.compile(r"[A-J](?:[\s.,;/&\u3001]+[A-J])+[\s.,;\u3001]*")
_ADJOINED = re.compile(r"A?B?C?D?E?F?G?H?I?J?")
_SHOWN = 40
_NO_CATEGORY = ("data", "dev", "test")


@dataclass(frozen=True, slots=True)
class RawRow:
    """Row as a reader found it. It takes `needed` options to be complete."""

    file: str
    number: int
    id: str
    text: str
    options: tuple[str, ...]
    answer: str
    task: str | None
    language: Language
    needed: int = 2


@dataclass(frozen=True, slots=True)
class Row:
    """Row that was judged: usable if `reason` is None; with a question and a reason it is still an example."""

    file: str
    number: int
    id: str
    question: Question | None = None
    reason: str | None = None
    task: str | None = None
    language: Language | None = None


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """Row left out, with the reason. `row` counts data rows from 1 (0: the file as a whole), `id` is the file's own."""

    file: str
    row: int
    id: str
    reason: str


def judge_row(raw: RawRow) -> Row:
    """Make a question of a row, with the reason if it cannot be scored."""
    letters = _answer_letters(raw.answer)
    fault = _fault(raw, letters)
    reason = fault or _no_single_answer(raw.answer, letters)
    question = None
    if fault is None:
        answer = letters[0] if reason is None else None
        category = category_of(raw.file)
        question = make_question(raw.text, raw.options, answer, raw.task, raw.language, category)
    return Row(raw.file, raw.number, raw.id, question, reason, raw.task, raw.language)


def category_of(file: str) -> str:
    """`english/test/LogParser.csv` is category `english/LogParser`, in whatever split it stands."""
    *folders, name = PurePosixPath(file).with_suffix("").parts
    return "/".join([*(part for part in folders if part.lower() not in _NO_CATEGORY), name])


def normalize_name(name: str) -> str:
    """What all spellings of a name share: `C:C++`, `C_C++` and `c-c++` are one category."""
    return re.sub(r"[\s:_/\-]+", "", unicodedata.normalize("NFKC", name).casefold())


TASK_NAMES = {normalize_name(task.name): task.name for tasks in TASK_SETS.values() for task in tasks}
"""Every shipped task by its normalized name."""


def decode_file(path: Path) -> str:
    """Read a file as UTF-8 with or without BOM, or else as GB18030, which contains GBK; raises OSError.

    Bytes that are neither become lone surrogates, so that only their rows are lost.
    """
    content = path.read_bytes()
    text = content.decode("utf-8-sig", "surrogateescape")
    broken = sum("\ud800" <= character <= "\udfff" for character in text)
    # Broken UTF-8 often is valid GB18030, only nonsense; of real GB18030 UTF-8 can read next to nothing.
    if broken > sum(character > "\udfff" or "\x7f" < character < "\ud800" for character in text):
        with suppress(UnicodeDecodeError):
            return content.decode("gb18030")
    return text


def _answer_letters(answer: str) -> tuple[str, ...]:
    """Read the letters of an answer such as `A`, `b `, `A, `, `C,D,F` or `ABCD`; none if it is free text.

    Letters without separators must ascend: BAD is a word, ABD is an answer.
    """
    text = unicodedata.normalize("NFKC", answer).strip().upper()
    if one := _ONE.fullmatch(text):
        return (one[1],)
    if _LISTED.fullmatch(text) or _ADJOINED.fullmatch(text):
        return tuple(sorted(set(re.findall(r"[A-J]", text))))
    return ()


def _fault(raw: RawRow, letters: Sequence[str]) -> str | None:
    """What makes a row useless even as an example."""
    if not _is_unicode(raw.text, *raw.options):
        return "unreadable row: it holds bytes that are no character"
    if not raw.text:
        return "empty question"
    if not raw.options and not letters:
        return None
    if len(raw.options) > len(LETTERS):
        return f"too many options: {len(raw.options)} of at most {len(LETTERS)}"
    return _missing_option(raw) or _answer_outside(raw, letters)


def _missing_option(raw: RawRow) -> str | None:
    if len(raw.options) < raw.needed:
        return f"missing option: {len(raw.options)} found, {raw.needed} needed"
    holes = [letter for letter, option in zip(LETTERS, raw.options, strict=False) if not option]
    return f"missing option: {', '.join(holes)}" if holes else None


def _answer_outside(raw: RawRow, letters: Sequence[str]) -> str | None:
    last = LETTERS[len(raw.options) - 1]
    if len(letters) == 1 and not "A" <= letters[0] <= last:
        return f"answer outside the options: {letters[0]} of A to {last}"
    return None


def _no_single_answer(answer: str, letters: Sequence[str]) -> str | None:
    if len(letters) == 1:
        return None
    if letters:
        return f"several answers: {', '.join(letters)}"
    if not answer.strip():
        return "no answer"
    return f"not multiple choice: the answer is {' '.join(answer.split())[:_SHOWN]!r}"


def _is_unicode(*texts: str) -> bool:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True
