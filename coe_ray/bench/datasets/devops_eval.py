"""DevOps-Eval's files: one CSV a category, with the columns id, question, A, B, C, D, answer and explanation.

Published in several forms over time (capital headings, no language level, phases as folders, colons in names,
GBK); all of them are read.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from coe_ray.bench.datasets.rows import TASK_NAMES, Row, decode_file, normalize_name
from coe_ray.core.errors import DataError
from coe_ray.core.questions import language_of
from coe_ray.core.types import Language
from coe_ray.profile.tasks import DEVOPS_EVAL_A

LANGUAGE_FOLDERS: Mapping[str, Language] = {
    "english": "english",
    "en": "english",
    "chinese": "chinese",
    "zh": "chinese",
    "cn": "chinese",
}
_OPTIONS = ("a", "b", "c", "d")
_NEEDED = ("question", *_OPTIONS, "answer")
_AIOPS = {normalize_name(task.name): task.name for task in DEVOPS_EVAL_A}


@dataclass(frozen=True, slots=True)
class Category:
    """A category: the name of its file, its phase, how many test rows it has, and its other names."""

    name: str
    phase: str
    test: int
    other_names: tuple[str, ...]


@cache
def categories() -> tuple[Category, ...]:
    """Read the shipped list of categories."""
    text = resources.files("coe_ray.data").joinpath("devops_eval_categories.json").read_text("utf-8")
    return tuple(
        Category(name, entry["phase"], entry["test"], (entry["chinese"], *entry.get("aliases", ())))
        for name, entry in json.loads(text).items()
    )


def task_of(category: str, language: Language, own: Mapping[str, str] = MappingProxyType({})) -> str | None:
    """The task of a category's file; None if neither a category nor a task has that name.

    `own` are a profile's tasks by their normalized names, which come before categories. The five AIOps categories are
    tasks of their own in English and belong to Operate in Chinese.
    """
    name = normalize_name(category)
    if name in own:
        return own[name]
    if language == "english" and name in _AIOPS:
        return _AIOPS[name]
    return _phases().get(name) or TASK_NAMES.get(name)


def read_csv(path: Path, file: str, own: Mapping[str, str] = MappingProxyType({})) -> list[Row]:
    """Read one file, row for row; a file that cannot be read is one row with the number 0.

    `file` is its path below the benchmark's folder.
    """
    try:
        records = list(_records(decode_file(path)))
    except OSError as error:
        return [Row(file, 0, fault=f"unreadable file: {error}")]
    if not records:
        return [Row(file, 0, fault="unreadable file: it is empty")]
    header, *rows = records
    columns = _columns(header)
    return [_row(file, number, record, columns, own) for number, record in enumerate(rows, 1)]


def expected_sizes() -> dict[tuple[str, str], int]:
    """Count the published test rows by language and task, as in Table I of the paper."""
    sizes: Counter[tuple[str, str]] = Counter()
    for category in categories():
        sizes["chinese", category.phase] += category.test
        if aiops := _AIOPS.get(normalize_name(category.name)):
            sizes["english", aiops] += category.test
    return dict(sizes)


def check_sizes(rows: Sequence[Row]) -> None:
    """Compare the test rows, usable or not, with the published sizes; raises DataError if they differ."""
    found: Counter[tuple[str, str]] = Counter((row.language or "unreadable", row.task or "of no task") for row in rows)
    expected = expected_sizes()
    differences = [
        f"{language} {task}: {found[language, task]} rows for {expected.get((language, task), 0)}"
        for language, task in sorted({*found, *expected})
        if found[language, task] != expected.get((language, task), 0)
    ]
    if differences:
        raise DataError(
            "the downloaded DevOps-Eval does not have the published sizes: " + "; ".join(differences) + ". "
            "To use it all the same, unpack the download and give its folder instead of 'devops-eval'"
        )


@cache
def _phases() -> dict[str, str]:
    return {
        normalize_name(name): category.phase
        for category in categories()
        for name in (category.name, *category.other_names)
    }


def _records(text: str) -> Iterator[list[str] | csv.Error]:
    """The records without blank lines; one that cannot be parsed does not end the file."""
    reader = csv.reader(io.StringIO(text, newline=""))
    while True:
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield error
        else:
            if len(record) > 1 or "".join(record).strip():
                yield record


def _columns(header: list[str] | csv.Error) -> dict[str, int]:
    """Map headings to their places; the first of two equal ones counts."""
    headings = [] if isinstance(header, csv.Error) else [heading.strip().casefold() for heading in header]
    return {heading: place for place, heading in reversed(list(enumerate(headings)))}


def _row(
    file: str, number: int, record: list[str] | csv.Error, columns: Mapping[str, int], own: Mapping[str, str]
) -> Row:
    if isinstance(record, csv.Error):
        return Row(file, number, fault=f"unreadable row: {record}")
    cells = {name: record[place].strip() for name, place in columns.items() if place < len(record)}
    id_, text, answer, *options = (cells.get(name, "") for name in ("id", "question", "answer", *_OPTIONS))
    path = PurePosixPath(file)
    language = _folder_language(path) or language_of("\n".join([text, *options]))
    task = task_of(path.stem, language, own)
    fault = _find_fault(path.stem, task, record, columns)
    return Row(file, number, id_, text, tuple(options), answer, task, language, len(_OPTIONS), fault)


def _find_fault(stem: str, task: str | None, record: Sequence[str], columns: Mapping[str, int]) -> str | None:
    """What is wrong with the file, or with the row's fit to it."""
    if task is None:
        return f"unknown category: {stem!r} is no category of DevOps-Eval and no task of the profile"
    if missing := [name for name in _NEEDED if name not in columns]:
        return f"missing column: {', '.join(missing)}"
    beyond = record[max(columns.values()) + 1 :]
    if any(cell.strip() for cell in beyond):
        return f"unreadable row: {len(record)} cells under {len(record) - len(beyond)} headings"
    return None


def _folder_language(path: PurePosixPath) -> Language | None:
    found = (LANGUAGE_FOLDERS.get(part.casefold()) for part in path.parts[:-1])
    return next((language for language in found if language), None)
