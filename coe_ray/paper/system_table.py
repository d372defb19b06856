"""Tables of systems in the paper's layout: accuracy with its interval, and the paper's accuracy beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coe_ray.analysis.tables import NONE, Table, format_points
from coe_ray.paper.published import Published

COLUMNS = ("system", "Acc % (95% CI)", "Prec %", "Rec %", "F1 %", "paper Acc %", "Δ Acc")


@dataclass(frozen=True, slots=True)
class SystemRow:
    """One system: its `metrics` as in a summary, fractions or `None`, and the paper's.

    A `bound`, such as an oracle, is never marked as the best.
    """

    name: str
    metrics: Mapping[str, Any]
    published: Published | None
    note: str = ""
    bound: bool = False


def system_table(title: str, caption: str, rows: Sequence[SystemRow], notes: Sequence[str] = ()) -> Table:
    """Systems in the given order, in percent with two decimals as in the paper; the best accuracy is strong."""
    cells = tuple((row.name, *_cells(row)) for row in rows)
    strong = frozenset((row, 1) for row in _best_rows(rows))
    return Table(title, caption, COLUMNS, cells, (*notes, *_row_notes(rows)), strong)


def format_percent(fraction: float | None) -> str:
    """A share in percent with the paper's two decimals, without the sign."""
    return NONE if fraction is None else f"{100 * fraction:.2f}"


def _cells(row: SystemRow) -> tuple[str, ...]:
    accuracy, ci95, *others = (row.metrics.get(name) for name in ("accuracy", "ci95", "precision", "recall", "f1"))
    published = row.published.accuracy if row.published else None
    interval = f" ({'–'.join(map(format_percent, ci95))})" if ci95 else ""
    return (
        format_percent(accuracy) + interval,
        *map(format_percent, others),
        NONE if published is None else f"{published:.2f}",
        NONE if accuracy is None or published is None else format_points(100 * accuracy - published, 2),
    )


def _best_rows(rows: Sequence[SystemRow]) -> list[int]:
    """The rows of the best accuracy, all of them where several are equal; none where there is no second to compare."""
    accuracies = {number: row.metrics.get("accuracy") for number, row in enumerate(rows) if not row.bound}
    scored = {number: accuracy for number, accuracy in accuracies.items() if accuracy is not None}
    return [number for number, accuracy in scored.items() if len(scored) > 1 and accuracy == max(scored.values())]


def _row_notes(rows: Sequence[SystemRow]) -> list[str]:
    """Notes on rows, each once, after the names that it is about."""
    notes = dict.fromkeys(row.note for row in rows if row.note)
    return [f"{', '.join(row.name for row in rows if row.note == note)}: {note}" for note in notes]
