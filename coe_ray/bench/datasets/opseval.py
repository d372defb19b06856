"""OpsEval's files: one JSON list a task, with options in `choices` or inside the question's text."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from coe_ray.bench.datasets.rows import TASK_NAMES, Row, decode_file, normalize_name
from coe_ray.core.questions import split_options

_NOT_WORDS = {ord(character): None for character in " \t\r\n.,;:\u3002\uff0c\uff1b\uff1a"}


def read_json(path: Path, file: str, own: Mapping[str, str] = MappingProxyType({})) -> list[Row]:
    """Read one file, entry for entry; a file that is no JSON list is one row with the number 0.

    `file` is its path below the benchmark's folder.
    """
    try:
        entries = json.loads(decode_file(path))
    except (OSError, ValueError, RecursionError) as error:
        return [Row(file, 0, fault=f"unreadable file: {error}")]
    if not isinstance(entries, list):
        return [Row(file, 0, fault=f"unreadable file: a list is needed, not {type(entries).__name__}")]
    name = normalize_name(path.stem)
    task = own.get(name) or TASK_NAMES.get(name)
    return [_row(file, number, entry, path.stem, task) for number, entry in enumerate(entries, 1)]


def _row(file: str, number: int, entry: object, stem: str, task: str | None) -> Row:
    given = str(entry.get("id", "")) if isinstance(entry, dict) else ""
    if task is None:
        return Row(file, number, given, fault=f"unknown task: {stem!r} is no task of OpsEval or of the profile")
    choices = (entry.get("choices") or []) if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(entry.get("question"), str) or not isinstance(choices, list):
        return Row(file, number, given, fault="unreadable row: an object with question, answer and choices is needed")
    text, options = _separate_options(_strip_quotes(entry["question"].strip()), _texts(choices))
    return Row(file, number, given, text, options, _answer(entry), task)


def _texts(choices: Sequence[object]) -> tuple[str, ...]:
    """The choices as texts without their letters; an empty one stays, as a hole."""
    texts = ["" if choice is None else str(choice).strip() for choice in choices]
    stem, lettered = split_options("\n".join(texts))
    return lettered if not stem and len(lettered) == len(texts) else tuple(texts)


def _answer(entry: Mapping[str, Any]) -> str:
    answer = entry.get("answer")
    if isinstance(answer, list):
        return ",".join(map(str, answer))
    return "" if answer is None else str(answer)


def _strip_quotes(text: str) -> str:
    """The text without quotes around it, a trace of the CSV that some entries came from."""
    if text.startswith('"') and text.endswith('"') and text.count('"') == 2:
        return text[1:-1].strip()
    return text


def _separate_options(text: str, choices: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The question and its options: the choices if there are any, else those inside the text.

    The text loses its own list of options only if that says the same as the choices.
    """
    stem, inside = split_options(text)
    if not choices:
        return stem, inside
    return (stem if _same_words(inside, choices) else text), choices


def _same_words(one: Sequence[str], other: Sequence[str]) -> bool:
    return [text.translate(_NOT_WORDS) for text in one] == [text.translate(_NOT_WORDS) for text in other]
