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
class Row:
    """Row as a reader found it. `number` counts data rows from 1 (0: the file as a whole), `id` is the file's own.

    It takes `needed` options to be complete; `fault` is why the reader can make nothing of it.
    """

    file: str
    number: int
    id: str = ""
    text: str = ""
    options: tuple[str, ...] = ()
    answer: str = ""
    task: str | None = None
    language: Language | None = None
    needed: int = 2
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """Row left out, with the reason. `row` counts data rows from 1 (0: the file as a whole), `id` is the file's own."""

    file: str
    row: int
    id: str
    reason: str


def judge_row(row: Row) -> tuple[Question | None, str | None]:
    """The question of a row, and why it cannot be scored: with both it is still an example."""
    letters = _answer_letters(row.answer)
    if fault := row.fault or _fault(row, letters):
        return None, fault
    reason = _no_single_answer(row.answer, letters)
    answer = letters[0] if reason is None else None
    return make_question(row.text, row.options, answer, row.task, row.language, category_of(row.file)), reason


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


def _fault(row: Row, letters: Sequence[str]) -> str | None:
    """What makes a row useless even as an example."""
    try:
        "".join((row.text, *row.options)).encode()
    except UnicodeEncodeError:
        return "unreadable row: it holds bytes that are no character"
    if not row.text:
        return "empty question"
    return _option_fault(row, letters) if row.options or letters else None


def _option_fault(row: Row, letters: Sequence[str]) -> str | None:
    if len(row.options) > len(LETTERS):
        return f"too many options: {len(row.options)} of at most {len(LETTERS)}"
    if len(row.options) < row.needed:
        return f"missing option: {len(row.options)} found, {row.needed} needed"
    if holes := [letter for letter, option in zip(LETTERS, row.options, strict=False) if not option]:
        return f"missing option: {', '.join(holes)}"
    last = LETTERS[len(row.options) - 1]
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
