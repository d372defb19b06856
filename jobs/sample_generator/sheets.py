"""Sheets: drafts assembled into the shipped CSV files.

A task is redrawn from the next random stream until no blind guessing rule does well on it: with 30 questions
chance alone would otherwise favour one of the rules now and then.
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from jobs.sample_generator.anomalies import anomaly
from jobs.sample_generator.drafts import Dice, Draft
from jobs.sample_generator.forecasts import forecast
from jobs.sample_generator.guesses import LETTERS, rates
from jobs.sample_generator.incidents import incident
from jobs.sample_generator.logs import log_parsing
from jobs.sample_generator.patterns import classification
from jobs.sample_generator.statements import STATEMENTS

SEED = 20240611
SIZES = {"dev": 6, "test": 24}
LIMIT = 0.35
TRIES = 400

Row = dict[str, str]


def _numbered(make: Callable[[Dice, int], Draft]) -> Callable[[Dice], list[Draft]]:
    return lambda dice: [make(dice, number) for number in range(sum(SIZES.values()))]


def _logs(dice: Dice) -> list[Draft]:
    """Use every statement at most once, so that no template of the dev split answers a test question."""
    order = dice.shuffled(range(len(STATEMENTS)))
    return [log_parsing(dice, order) for _ in range(sum(SIZES.values()))]


TASKS: dict[str, Callable[[Dice], list[Draft]]] = {
    "TimeSeriesAnomalyDetection": _numbered(anomaly),
    "TimeSeriesClassification": _numbered(classification),
    "TimeSeriesForecasting": _numbered(forecast),
    "LogParser": _logs,
    "RootCauseAnalysis": _numbered(incident),
}


def generate(seed: int) -> dict[str, bytes]:
    """Return the content of every generated file by its path below the sample folder."""
    files = {}
    for number, (category, make) in enumerate(TASKS.items()):
        for split, rows in _fair_task(seed, number, make).items():
            files[f"english/{split}/{category}.csv"] = _encode(rows, split)
    return files


def write(root: Path, seed: int) -> list[Path]:
    """Write the generated files below the sample folder and return their paths."""
    paths = []
    for name, content in generate(seed).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        paths.append(path)
    return paths


def _fair_task(seed: int, number: int, make: Callable[[Dice], list[Draft]]) -> dict[str, list[Row]]:
    for attempt in range(TRIES):
        dice = Dice(seed, number, attempt)
        drafts = iter(dice.shuffled(make(dice)))
        splits = {split: _arrange(dice, drafts, size) for split, size in SIZES.items()}
        everything = [row for rows in splits.values() for row in rows]
        texts = {row["question"] for row in everything}
        fair = all(rate < LIMIT for rows in (everything, splits["test"]) for rate in rates(rows).values())
        if fair and len(texts) == len(everything):
            return splits
    raise RuntimeError(f"no fair set of questions for task {number} with seed {seed} in {TRIES} tries")


def _arrange(dice: Dice, drafts: Iterator[Draft], size: int) -> list[Row]:
    """Deal letters out evenly and shuffle the distractors over the remaining ones."""
    answers = dice.shuffled((LETTERS * size)[: size - size % 4] + "".join(dice.sample(LETTERS, size % 4)))
    return [_row(dice, str(index), next(drafts), answer) for index, answer in enumerate(answers)]


def _row(dice: Dice, index: str, item: Draft, answer: str) -> Row:
    wrong = iter(dice.shuffled(item.wrong))
    options = {letter: item.right if letter == answer else next(wrong) for letter in LETTERS}
    return {"id": index, "question": item.stem, **options, "answer": answer, "explanation": item.why}


def _encode(rows: Sequence[Row], split: str) -> bytes:
    columns = ["id", "question", *LETTERS, "answer"] + ["explanation"] * (split == "dev")
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()
