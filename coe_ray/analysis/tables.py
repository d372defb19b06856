"""Tables as Markdown and as plain text for a terminal, where a Chinese character takes two columns.

Names and texts come from configuration and may hold anything: each writer escapes them, so that none can break out of
its cell. The paper's LaTeX is written by `coe_ray.paper.latex`.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

NONE = "–"
TERMINAL_WIDTH = 100
NAME_WIDTH = 30
CELL_WIDTH = 40

_MARKDOWN = str.maketrans({"<": "&lt;", ">": "&gt;", "&": "&amp;", **{mark: f"\\{mark}" for mark in r"\|`*_[]~#$"}})


@dataclass(frozen=True, slots=True)
class Table:
    """A table of finished cells. `strong` are (row, column) of the cells to set bold, both from 0.

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

    def column(self, number: int) -> list[str]:
        return [one_line(row[number]) for row in self.rows]


def format_points(points: float, decimals: int) -> str:
    """A difference in percentage points, signed; what rounds to zero has a plus."""
    return f"{round(points, decimals) + 0.0:+.{decimals}f}".replace("-", "−")


# Markdown


def format_markdown(table: Table) -> str:
    """The table in GitHub's Markdown, under a heading of the third level."""
    rows = [list(map(_markdown, row)) for row in table.rows]
    for row, column in table.strong:
        rows[row][column] = f"**{rows[row][column]}**"
    rule = [":--", *("--:" for _ in table.columns[1:])]
    lines = ["| " + " | ".join(row) + " |" for row in (map(_markdown, table.columns), rule, *rows)]
    notes = (f"- {_markdown(note)}" for note in table.notes)
    return _paragraphs(f"### {_markdown(table.title)}", _markdown(table.caption), "\n".join(lines), "\n".join(notes))


def _markdown(text: str) -> str:
    return one_line(text).translate(_MARKDOWN)


# Plain text


def format_text(table: Table) -> str:
    """The table for a terminal, at most 100 columns wide: columns that do not fit go below, with the names again."""
    title, caption, *notes = (
        wrap(one_line(text), TERMINAL_WIDTH) for text in (table.title, table.caption, *table.notes)
    )
    lines = [line for note in notes for line in note]
    return _paragraphs("\n".join(filter(None, [*title, *caption])), *_blocks(table), "\n".join(lines))


def wrap_header(table: Table) -> list[list[str]]:
    """The names of the columns, each in lines: the first in one, the others hardly wider than their cells."""
    first, *others = map(one_line, table.columns)
    return [[first], *(wrap(name, _header_width(name, table.column(n))) for n, name in enumerate(others, 1))]


def _header_width(name: str, cells: Sequence[str]) -> int:
    word = max(map(width, name.split()), default=0)
    return max(8, min(16, word), min(CELL_WIDTH, max(map(width, cells), default=0)))


def _blocks(table: Table) -> list[str]:
    """The columns side by side, in as many blocks as needed. A column is a pair: lines of the header, cells."""
    (name,), *headers = wrap_header(table)
    columns = [(header, [shorten(cell, CELL_WIDTH) for cell in table.column(n)]) for n, header in enumerate(headers, 1)]
    room = [2 + max(map(width, [*header, *cells])) for header, cells in columns]
    limit = max(NAME_WIDTH, TERMINAL_WIDTH - sum(room))
    names = ([shorten(name, NAME_WIDTH)], [shorten(cell, limit) for cell in table.column(0)])
    blocks, used = [[names]], (names_width := max(map(width, [*names[0], *names[1]])))
    for column, wide in zip(columns, room, strict=True):
        if len(blocks[-1]) > 1 and used + wide > TERMINAL_WIDTH:
            blocks.append([names])
            used = names_width
        blocks[-1].append(column)
        used += wide
    return [_block(block) for block in blocks]


def _block(columns: Sequence[tuple[list[str], list[str]]]) -> str:
    """Columns as lines; headers of several lines all end on the same one."""
    height = max(len(header) for header, _ in columns)
    return align_columns(
        list(zip(*([""] * (height - len(head)) + head + cells for head, cells in columns), strict=True))
    )


def align_columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as lines: the first column flush left, all others flush right."""
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first + " " * (widths[0] - width(first))]
        cells += [" " * (wide - width(cell)) + cell for cell, wide in zip(others, widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _paragraphs(*parts: str) -> str:
    return "\n\n".join(filter(None, parts)) + "\n"


# Text in columns


def width(text: str) -> int:
    """Terminal columns: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def one_line(text: str) -> str:
    """`text` with single spaces for line breaks and whatever else cannot be printed, such as control characters."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def shorten(text: str, limit: int) -> str:
    """`text` in at most `limit` columns, its middle cut out: model names differ at both ends."""
    if width(text) <= limit:
        return text
    head, tail = text[: len(text) // 2], text[len(text) // 2 :]
    while width(head) + width(tail) >= limit:
        head, tail = (head[:-1], tail) if len(head) > len(tail) else (head, tail[1:])
    return f"{head}…{tail}"


def wrap(text: str, limit: int) -> list[str]:
    """Lines of at most `limit` columns, 2 or more: broken at spaces, and inside a word that is longer than a line."""
    lines = [""]
    for piece in (piece for word in text.split() for piece in _pieces(word, limit)):
        longer = f"{lines[-1]} {piece}".lstrip()
        if width(longer) <= limit:
            lines[-1] = longer
        else:
            lines.append(piece)
    return lines


def _pieces(word: str, limit: int) -> Iterator[str]:
    """`word` in parts of at most `limit` columns, after a mark such as `/` where it has one: Chinese has no spaces."""
    while width(word) > limit:
        fits = next(end for end in range(len(word), 0, -1) if width(word[:end]) <= limit)
        cut = 1 + max(word.rfind(mark, 0, fits) for mark in "/-_:.") or fits
        yield word[:cut]
        word = word[cut:]
    yield word
