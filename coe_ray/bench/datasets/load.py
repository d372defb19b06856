"""Benchmarks: the shipped sample, DevOps-Eval from the hub, or a folder in DevOps-Eval's or OpsEval's form.

A file's name tells its task. Every row of a split ends up either as a question with exactly one right letter or as a
rejected row with its reason.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

from coe_ray.bench.datasets.devops_eval import check_sizes, read_csv
from coe_ray.bench.datasets.hub import download_dataset
from coe_ray.bench.datasets.opseval import read_json
from coe_ray.bench.datasets.rows import TASK_NAMES, RejectedRow, Row, judge_row, normalize_name
from coe_ray.core.errors import DataError
from coe_ray.core.types import Question, Task
from coe_ray.profile.tasks import TASK_SETS

Split: TypeAlias = Literal["dev", "test"]

_READERS = {".csv": read_csv, ".json": read_json}
_SPLITS = ("dev", "test")
_PATTERNS = "<language>/{split}/<Category>.csv, {split}/<Category>.csv or {split}/<Task>.json"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A split of a benchmark, ready to run.

    `questions` have exactly one right letter each and ids that occur once. `examples` are the labelled dev
    questions for the retrieval index: they need a task, but not a single answer. `tasks` are those that occur
    in either, in the order of their task sets, a profile's own last. `rejected` are the rows of this split that are no
    question.
    """

    name: str
    tasks: tuple[Task, ...]
    questions: tuple[Question, ...]
    examples: tuple[Question, ...]
    rejected: tuple[RejectedRow, ...]


def load_benchmark(source: str | Path, *, split: Split = "test", tasks: Sequence[Task] = ()) -> Benchmark:
    """Load `"sample"`, `"devops-eval"` or a folder, in which a file may have the name of one of a profile's `tasks`.

    Raises DataError if there is no such folder or split, if no row of it can be used, or if the hub cannot be
    reached or gives other than the published sizes.
    """
    if source == "sample":
        with resources.as_file(resources.files("coe_ray.data").joinpath("sample")) as root:
            return _benchmark("sample", root, split)
    if source == "devops-eval":
        with download_dataset() as root:
            return _benchmark("devops-eval", root, split, published=True)
    root = Path(source).expanduser().resolve()
    if not root.is_dir():
        raise DataError(f"no benchmark {str(source)!r}: give 'sample', 'devops-eval' or an existing folder")
    named = {normalize_name(task.name): task for task in tasks}
    return _benchmark(
        root.name, root, split, own={name: task for name, task in named.items() if name not in TASK_NAMES}
    )


def sample_by_task(questions: Sequence[Question], per_task: int | None, seed: int) -> tuple[Question, ...]:
    """Draw up to `per_task` questions of each task, the same for the same seed in whatever order; `None` takes all.

    Raises ValueError if `per_task` is less than 1.
    """
    if per_task is None:
        return tuple(questions)
    if per_task < 1:
        raise ValueError(f"per_task must be at least 1, not {per_task}")
    tasks: defaultdict[str, list[Question]] = defaultdict(list)
    for question in sorted(questions, key=lambda each: hashlib.sha256(f"{seed}:{each.id}".encode()).hexdigest()):
        tasks[question.task or ""].append(question)
    return tuple(question for task in sorted(tasks) for question in tasks[task][:per_task])


def _benchmark(
    name: str, root: Path, split: Split, *, published: bool = False, own: Mapping[str, Task] = MappingProxyType({})
) -> Benchmark:
    names = {normalized: task.name for normalized, task in own.items()}
    rows = _rows(root, split, names)
    if not rows:
        raise DataError(
            f"{root}: no row in a {split} split; looked for {_PATTERNS.format(split=split)}, also below data/"
        )
    if published and split == "test":
        check_sizes(rows)
    questions, rejected = _separate_rejected(rows)
    if not questions:
        counts = Counter(row.reason.split(":")[0] for row in rejected)  # each reason up to its colon
        reasons = ", ".join(f"{count} × {reason}" for reason, count in counts.most_common())
        raise DataError(f"{root}: no usable row in the {split} split: {reasons}")
    examples = _examples(rows if split == "dev" else _rows(root, "dev", names))
    return Benchmark(name, _tasks([*questions, *examples], own.values()), questions, examples, rejected)


def _rows(root: Path, split: Split, own: Mapping[str, str]) -> list[Row]:
    """The rows of all files below the split's folder, in the order of their names."""
    rows: list[Row] = []
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        # Archives made on a Mac hold a hidden twin of every file, which is no data.
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
        # The outermost folder counts: a phase's folder may be called TEST as well.
        found = next((part.lower() for part in parts[:-1] if part.lower() in _SPLITS), None)
        read = _READERS.get(path.suffix.lower())
        if read and found == split and not hidden and path.is_file():
            rows += read(path, "/".join(parts), own)
    return rows


def _separate_rejected(rows: Sequence[Row]) -> tuple[tuple[Question, ...], tuple[RejectedRow, ...]]:
    """The questions and the rejected rows; of equal questions only the first is kept."""
    kept: dict[str, tuple[Question, Row]] = {}
    rejected = []
    for row in rows:
        question, reason = judge_row(row)
        if question and question.id in kept:
            reason = reason or _duplicate(question, *kept[question.id])
        if question and reason is None:
            kept[question.id] = question, row
        else:
            rejected.append(RejectedRow(row.file, row.number, row.id, reason or "unreadable row"))
    return tuple(question for question, _ in kept.values()), tuple(rejected)


def _duplicate(question: Question, first: Question, row: Row) -> str:
    place = f"duplicate: the same as row {row.number} of {row.file} (id {row.id!r})"
    same = question.answer == first.answer
    return place if same else f"{place}, but with the answer {question.answer} for {first.answer}"


def _examples(rows: Sequence[Row]) -> tuple[Question, ...]:
    kept: dict[str, Question] = {}
    for question, _ in map(judge_row, rows):
        if question:
            kept.setdefault(question.id, question)
    return tuple(kept.values())


def _tasks(questions: Sequence[Question], own: Iterable[Task]) -> tuple[Task, ...]:
    names = {question.task for question in questions}
    return tuple(task for tasks in (*TASK_SETS.values(), own) for task in tasks if task.name in names)
