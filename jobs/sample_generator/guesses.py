"""Blind guessing rules that must fail on the sample, else a score on it would not measure knowledge."""

import re
from collections.abc import Mapping, Sequence

LETTERS = "ABCD"
TOKEN = re.compile(r"[a-z0-9]+|[\u3400-\u9fff]")

Row = Mapping[str, str]


def tokens(text: str) -> set[str]:
    """Return the distinct lower-cased words and single CJK characters."""
    return set(TOKEN.findall(text.lower()))


def longest(row: Row) -> str:
    """Guess the option with most characters, the first on ties."""
    return max(LETTERS, key=lambda letter: len(row[letter]))


def overlapping(row: Row) -> str:
    """Guess the option that repeats most tokens of the question, the first on ties."""
    question = tokens(row["question"])
    return max(LETTERS, key=lambda letter: len(tokens(row[letter]) & question))


def rates(rows: Sequence[Row]) -> dict[str, float]:
    """Return the share of right answers of every rule."""
    hits = {f"always {letter}": sum(row["answer"] == letter for row in rows) for letter in LETTERS}
    hits["longest"] = sum(row["answer"] == longest(row) for row in rows)
    hits["overlap"] = sum(row["answer"] == overlapping(row) for row in rows)
    return {rule: count / len(rows) for rule, count in hits.items()}
