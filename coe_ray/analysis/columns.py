"""Plain text in columns of a terminal, where a Chinese character takes two."""

import unicodedata
from collections.abc import Iterator, Sequence


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


def align_columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as lines: the first column flush left, all others flush right."""
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first + " " * (widths[0] - width(first))]
        cells += [" " * (wide - width(cell)) + cell for cell, wide in zip(others, widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _pieces(word: str, limit: int) -> Iterator[str]:
    """`word` in parts of at most `limit` columns, after a mark such as `/` where it has one: Chinese has no spaces."""
    while width(word) > limit:
        fits = next(end for end in range(len(word), 0, -1) if width(word[:end]) <= limit)
        cut = 1 + max(word.rfind(mark, 0, fits) for mark in "/-_:.") or fits
        yield word[:cut]
        word = word[cut:]
    yield word
