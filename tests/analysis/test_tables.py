"""Tables in Markdown and plain text: no name breaks out of its cell, and lines are not too wide."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.analysis.tables import TERMINAL_WIDTH, Table, format_markdown, format_points, format_text, width, wrap
from tests.support.names import NAMES


def make_table(*names: str) -> Table:
    return Table("Title", "", ("system", "Time Series Anomaly Detection"), tuple((name, name) for name in names))


def cells(line: str) -> list[str]:
    """The cells of one row of Markdown."""
    return [cell.strip() for cell in re.split(r"(?<!\\)(?:\\\\)*\|", line)[1:-1]]


def rows_of(page: str) -> list[str]:
    return [line for line in page.splitlines() if line.startswith("|")]


class TestTable:
    def test_a_row_has_a_cell_for_each_column(self) -> None:
        with pytest.raises(ValueError, match="2 cells for 3 columns"):
            Table("Title", "", ("a", "b", "c"), (("1", "2"),))

    def test_its_cells_are_shown_as_they_are(self) -> None:
        pairs = Table(
            "Pairs", "McNemar.", ("pair", "p"), (("a − b", "0.04"), ("a − c", "1")), strong=frozenset({(0, 1)})
        )
        assert format_markdown(pairs) == (
            "### Pairs\n\nMcNemar.\n\n| pair | p |\n| :-- | --: |\n| a − b | **0.04** |\n| a − c | 1 |\n"
        )
        assert format_text(pairs) == "Pairs\nMcNemar.\n\npair      p\na − b  0.04\na − c     1\n"

    def test_without_rows_it_is_a_header(self) -> None:
        empty = Table("Title", "", ("a", "b"), ())
        assert rows_of(format_markdown(empty)) == ["| a | b |", "| :-- | --: |"]
        assert format_text(empty) == "Title\n\na  b\n"

    def test_one_column_is_enough(self) -> None:
        assert format_text(Table("Title", "", ("a",), (("1",),))) == "Title\n\na\n1\n"


class TestMarkdown:
    def test_the_layout(self) -> None:
        page = format_markdown(Table("Title", "What it shows.", ("a", "b"), (("1", "2"),), ("A note.",)))
        assert page == "### Title\n\nWhat it shows.\n\n| a | b |\n| :-- | --: |\n| 1 | 2 |\n\n- A note.\n"

    @given(st.lists(NAMES, min_size=1, max_size=4))
    def test_a_row_always_has_the_same_number_of_pipes(self, names: list[str]) -> None:
        table = Table("Title", "", ("a", "b", "c"), tuple((name, "1", name) for name in names), tuple(names))
        rows = rows_of(format_markdown(table))
        assert len(rows) == len(names) + 2
        assert {len(cells(row)) for row in rows} == {3}

    @given(NAMES)
    def test_no_name_is_html_code_or_a_line_of_its_own(self, name: str) -> None:
        row = rows_of(format_markdown(make_table(name)))[-1]
        assert not re.search(r"[<>]|(?<!\\)(?:\\\\)*[`*_\[\]~$]", row)
        assert not re.search(r"&(?!(lt|gt|amp);)", row)
        assert len(format_markdown(make_table(name)).splitlines()) == len(format_markdown(make_table("x")).splitlines())

    def test_what_a_reader_sees_is_the_name(self) -> None:
        assert format_markdown(make_table("a|b <i> `c` x_1\n问题")).endswith(
            r"| a\|b &lt;i&gt; \`c\` x\_1 问题 |" + "\n"
        )


class TestText:
    def test_columns_are_under_each_other_also_under_chinese(self) -> None:
        page = format_text(Table("Title", "", ("system", "Acc %"), (("通义千问", "70.49 (68.05)"), ("CoE", "–"))))
        *_, header, first, second = page.rstrip().splitlines()
        assert width(header) == width(first) == width(second)
        assert first == "通义千问  70.49 (68.05)"
        assert second == "CoE" + " " * 19 + "–"

    def test_what_does_not_fit_goes_below_with_the_names_again(self) -> None:
        wide = Table("Title", "", ("system", *(f"task {n}" for n in range(30))), (("CoE", *["63.57"] * 30),))
        blocks = format_text(wide).split("\n\n")[1:]
        assert len(blocks) > 1
        assert all(block.startswith("system") and "\nCoE " in block for block in blocks)
        assert sum(block.count("63.57") for block in blocks) == 30

    def test_a_header_is_broken_before_its_column_gets_wide(self) -> None:
        narrow = Table("Title", "", ("system", "Time Series Anomaly Detection"), (("CoE", "63.57"),))
        assert format_text(narrow).splitlines()[2:] == [
            "             Time",
            "           Series",
            "          Anomaly",
            "system  Detection",
            "CoE         63.57",
        ]

    @given(st.lists(NAMES, min_size=1, max_size=4), st.lists(NAMES, min_size=1, max_size=15))
    def test_no_line_is_wider_than_a_terminal(self, names: list[str], columns: list[str]) -> None:
        rows = tuple((name, *(name for _ in columns)) for name in names)
        wide = Table(names[0], names[-1], ("system of any kind " + names[0], *columns), rows, notes=tuple(names))
        assert max(width(line) for line in format_text(wide).splitlines()) <= TERMINAL_WIDTH


@given(st.text(max_size=200), st.integers(2, 40))
def test_wrapped_lines_lose_nothing_and_fit(words: str, limit: int) -> None:
    lines = wrap(words, limit)
    assert "".join(lines).replace(" ", "") == "".join(words.split())
    assert all(width(line) <= limit for line in lines)


@pytest.mark.parametrize(
    ("points", "decimals", "written"),
    [(4.514, 2, "+4.51"), (-20.49, 1, "−20.5"), (-0.001, 2, "+0.00"), (0.0, 1, "+0.0"), (-0.31, 2, "−0.31")],
)
def test_points_are_signed_and_never_a_negative_zero(points: float, decimals: int, written: str) -> None:
    assert format_points(points, decimals) == written
