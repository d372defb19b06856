"""Tables of results as Markdown, LaTeX and plain text, with the paper's accuracy and the difference beside ours.

Every writer takes a `Table` of figures or a `Grid` of finished cells; a table is turned into a grid first. Names and
texts come from configuration and may hold anything: each writer escapes them, so that none can break out of its cell.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from coe_ray.analysis.columns import align_columns, one_line, shorten, width, wrap
from coe_ray.paper.published import Published

COLUMNS = ("system", "Acc % (95% CI)", "Prec %", "Rec %", "F1 %", "paper Acc %", "Δ Acc")
NONE = "–"
TERMINAL_WIDTH = 100
NAME_WIDTH = 30
CELL_WIDTH = 40

_MARKDOWN = str.maketrans({"<": "&lt;", ">": "&gt;", "&": "&amp;", **{mark: f"\\{mark}" for mark in r"\|`*_[]~#$"}})
_LATEX = str.maketrans(
    {mark: f"\\{mark}" for mark in "&%$#_{}"}
    # `\\` before a row takes a star and a bracket for its own, and in old encodings < and > print as ¡ and ¿.
    | {mark: f"{{{mark}}}" for mark in "[]*"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "`": r"\textasciigrave{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\symbol{34}", "\0": "{}"}
    | {
        "–": "--",
        "−": "$-$",
        "Δ": r"$\Delta$",
        "±": r"$\pm$",
        "×": r"$\times$",
        "→": r"$\rightarrow$",
        "…": r"\ldots{}",
    }
)


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured, as fractions in [0, 1]; None where there was nothing to count."""

    accuracy: float | None
    ci95: tuple[float, float] | None
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class Line:
    """One system: what was found, what the paper prints. A `bound`, such as an oracle, is never marked as the best."""

    name: str
    found: Figures | None
    published: Published | None
    note: str = ""
    bound: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Systems under each other, in the given order, as in the paper."""

    title: str
    caption: str
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grid:
    """Any table: its cells are text already. `strong` are (row, column) of the cells to set bold, both from 0.

    Raises ValueError where a row has not a cell for each column.
    """

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    strong: frozenset[tuple[int, int]] = frozenset()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: {len(row)} cells for {len(self.columns)} columns: {row}")


def as_grid(table: Table) -> Grid:
    """The cells of a table, in percent with two decimals as in the paper; the best accuracy is strong."""
    return Grid(
        title=table.title,
        caption=table.caption,
        columns=COLUMNS,
        rows=tuple((line.name, *_cells(line)) for line in table.lines),
        notes=(*table.notes, *_line_notes(table.lines)),
        strong=frozenset((row, 1) for row in _best(table.lines)),
    )


# Markdown


def markdown(table: Table | Grid) -> str:
    """The table in GitHub's Markdown, under a heading of the third level."""
    grid = _grid(table)
    rows = [list(map(_markdown, row)) for row in grid.rows]
    for row, column in grid.strong:
        rows[row][column] = f"**{rows[row][column]}**"
    rule = [":--", *("--:" for _ in grid.columns[1:])]
    lines = ["| " + " | ".join(row) + " |" for row in (map(_markdown, grid.columns), rule, *rows)]
    notes = (f"- {_markdown(note)}" for note in grid.notes)
    return _paragraphs(f"### {_markdown(grid.title)}", _markdown(grid.caption), "\n".join(lines), "\n".join(notes))


def _markdown(text: str) -> str:
    return one_line(text).translate(_MARKDOWN)


# LaTeX


def latex(table: Table | Grid) -> str:
    """The table as a LaTeX float, for a document that uses booktabs (and ctex or xeCJK where a name is Chinese)."""
    grid = _grid(table)
    rows = [list(map(_latex, row)) for row in grid.rows]
    for row, column in grid.strong:
        rows[row][column] = rf"\textbf{{{rows[row][column]}}}"
    caption = ". ".join(filter(None, [_latex(grid.title).rstrip("."), _latex(grid.caption)]))
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{caption}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(grid.columns) - 1)}}}",
            r"\toprule",
            _latex_row([_stacked(lines) for lines in _headers(grid)]),
            r"\midrule",
            *map(_latex_row, rows),
            r"\bottomrule",
            r"\end{tabular}",
            *(rf"\par{{\footnotesize {_latex(note)}\par}}" for note in grid.notes),
            r"\end{table}",
            "",
        ]
    )


def _latex(text: str) -> str:
    # A mark between two hyphens, which would be set as one dash; no name has it, as it cannot be printed.
    return re.sub("-(?=-)", "-\0", one_line(text)).translate(_LATEX)


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _stacked(lines: Sequence[str]) -> str:
    cell = r" \\ ".join(map(_latex, lines))
    return rf"\shortstack[r]{{{cell}}}" if len(lines) > 1 else cell


# Plain text


def text(table: Table | Grid) -> str:
    """The table for a terminal, at most 100 columns wide: columns that do not fit go below, with the names again."""
    grid = _grid(table)
    notes = [line for note in grid.notes for line in wrap(one_line(note), TERMINAL_WIDTH)]
    head = [*wrap(one_line(grid.title), TERMINAL_WIDTH), *wrap(one_line(grid.caption), TERMINAL_WIDTH)]
    return _paragraphs("\n".join(filter(None, head)), *_blocks(grid), "\n".join(notes))


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of plain text; `room` is what it takes, with the gap before it."""

    header: list[str]
    cells: list[str]

    @property
    def room(self) -> int:
        return 2 + max(map(width, [*self.header, *self.cells]))


def _blocks(grid: Grid) -> list[str]:
    """The columns side by side, in as many blocks as needed."""
    names, *columns = _columns(grid)
    spare = TERMINAL_WIDTH - sum(column.room for column in columns)
    names = _Column(names.header, [shorten(name, max(NAME_WIDTH, spare)) for name in names.cells])
    blocks = [[names]]
    for column in columns:
        if len(blocks[-1]) > 1 and sum(other.room for other in [*blocks[-1], column]) - 2 > TERMINAL_WIDTH:
            blocks.append([names])
        blocks[-1].append(column)
    return [_block(block) for block in blocks]


def _block(columns: Sequence[_Column]) -> str:
    """Columns as lines; headers of several lines all end on the same one."""
    height = max(len(column.header) for column in columns)
    padded = ([""] * (height - len(column.header)) + column.header + column.cells for column in columns)
    return align_columns(list(zip(*padded, strict=True)))


def _columns(grid: Grid) -> list[_Column]:
    (names,), *headers = _headers(grid)
    others = [
        _Column(header, [shorten(cell, CELL_WIDTH) for cell in _body(grid, n)]) for n, header in enumerate(headers, 1)
    ]
    return [_Column([shorten(names, NAME_WIDTH)], _body(grid, 0)), *others]


# All three


def _grid(table: Table | Grid) -> Grid:
    return as_grid(table) if isinstance(table, Table) else table


def _headers(grid: Grid) -> list[list[str]]:
    """The names of the columns, in lines."""
    first, *others = map(one_line, grid.columns)
    return [[first], *(wrap(name, _limit(name, _body(grid, number))) for number, name in enumerate(others, 1))]


def _limit(name: str, cells: Sequence[str]) -> int:
    """How wide the name of a column may be: as its cells, or its longest word, within reason."""
    word = max(map(width, name.split()), default=0)
    return max(8, min(16, word), min(CELL_WIDTH, max(map(width, cells), default=0)))


def _body(grid: Grid, number: int) -> list[str]:
    return [one_line(row[number]) for row in grid.rows]


def _paragraphs(*parts: str) -> str:
    return "\n\n".join(filter(None, parts)) + "\n"


def _cells(line: Line) -> tuple[str, ...]:
    found = line.found or Figures(None, None, None, None, None)
    published = line.published.accuracy if line.published else None
    return (
        _with_interval(found),
        *map(_percent, (found.precision, found.recall, found.f1)),
        NONE if published is None else f"{published:.2f}",
        _difference(found.accuracy, published),
    )


def _percent(fraction: float | None) -> str:
    return NONE if fraction is None else f"{100 * fraction:.2f}"


def _with_interval(found: Figures) -> str:
    if found.ci95 is None:
        return _percent(found.accuracy)
    low, high = found.ci95
    return f"{_percent(found.accuracy)} ({_percent(low)}–{_percent(high)})"


def _difference(found: float | None, published: float | None) -> str:
    if found is None or published is None:
        return NONE
    points = round(100 * found - published, 2)
    return f"{points + 0.0:+.2f}".replace("-", "−")  # + 0.0 turns a negative zero into a positive one


def _best(lines: Sequence[Line]) -> list[int]:
    """The rows of the best accuracy, all of them where several are equal; none where there is no second to compare."""
    scored = {
        row: line.found.accuracy
        for row, line in enumerate(lines)
        if line.found and line.found.accuracy is not None and not line.bound
    }
    return [row for row, accuracy in scored.items() if len(scored) > 1 and accuracy == max(scored.values())]


def _line_notes(lines: Sequence[Line]) -> list[str]:
    """Notes on lines, each once, after the names that it is about."""
    notes = dict.fromkeys(line.note for line in lines if line.note)
    return [f"{', '.join(line.name for line in lines if line.note == note)}: {note}" for note in notes]
