"""Tables of systems in the paper's layout: accuracy with its interval, and the paper's accuracy beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

from coe_ray.analysis.tables import NONE, Table, format_points
from coe_ray.paper.published import Published

COLUMNS = ("system", "Acc % (95% CI)", "Prec %", "Rec %", "F1 %", "paper Acc %", "Δ Acc")


@dataclass(frozen=True, slots=True)
class Scores:
    """Measured scores as fractions in [0, 1]; None where there was nothing to count."""

    accuracy: float | None = None
    ci95: tuple[float, float] | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None


@dataclass(frozen=True, slots=True)
class SystemRow:
    """One system: its scores, and the paper's. A `bound`, such as an oracle, is never marked as the best."""

    name: str
    scores: Scores | None
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
    scores = row.scores or Scores()
    published = row.published.accuracy if row.published else None
    return (
        _with_interval(scores),
        *map(format_percent, (scores.precision, scores.recall, scores.f1)),
        NONE if published is None else f"{published:.2f}",
        NONE if scores.accuracy is None or published is None else format_points(100 * scores.accuracy - published, 2),
    )


def _with_interval(scores: Scores) -> str:
    accuracy = format_percent(scores.accuracy)
    return f"{accuracy} ({'–'.join(map(format_percent, scores.ci95))})" if scores.ci95 else accuracy


def _best_rows(rows: Sequence[SystemRow]) -> list[int]:
    """The rows of the best accuracy, all of them where several are equal; none where there is no second to compare."""
    scored = {
        number: row.scores.accuracy
        for number, row in enumerate(rows)
        if row.scores and row.scores.accuracy is not None and not row.bound
    }
    return [number for number, accuracy in scored.items() if len(scored) > 1 and accuracy == max(scored.values())]


def _row_notes(rows: Sequence[SystemRow]) -> list[str]:
    """Notes on rows, each once, after the names that it is about."""
    notes = dict.fromkeys(row.note for row in rows if row.note)
    return [f"{', '.join(row.name for row in rows if row.note == note)}: {note}" for note in notes]
