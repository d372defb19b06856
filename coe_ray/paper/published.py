"""The paper's own results, its tables III to X, out of published.yaml. Systems go by keys that never change."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True, slots=True)
class Published:
    """One row of a table, in percent; None where the paper prints a dash."""

    accuracy: float
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None


@dataclass(frozen=True, slots=True)
class PaperTable:
    """A table of results: its rows by system, in the paper's order."""

    title: str
    rows: Mapping[str, Published]


TABLES: Mapping[str, PaperTable] = {
    numeral: PaperTable(table["title"], {name: Published(*row) for name, row in table["rows"].items()})
    for numeral, table in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8")).items()
}
"""By the paper's numerals."""
