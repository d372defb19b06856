"""The tables of results: what stands where, that no name breaks out of its cell, and that lines are not too wide."""

import re
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_ray.analysis.columns import width, wrap
from coe_ray.paper.published import NAMES, TABLES, Published
from coe_ray.paper.table_format import (
    COLUMNS,
    TERMINAL_WIDTH,
    Figures,
    Grid,
    Line,
    Table,
    as_grid,
    latex,
    markdown,
    text,
)

NASTY = [
    "a|b",
    "`x`",
    "<script>",
    "a\nb",
    "x_1",
    "50%",
    "a&b",
    "#1",
    "~",
    "^",
    "{}",
    "\\",
    "$x$",
    "[0]",
    "*",
    "问题",
    "\0",
]
NAME = st.one_of(
    st.text(max_size=80), st.lists(st.sampled_from([*NASTY, "|", "\\", "-", "'"]), max_size=8).map("".join)
)

FOUND = Figures(0.70493, (0.6805, 0.7281), 0.7229, 0.70493, 0.7131)
PRINTED = Published(70.49, 72.29, 70.49, 71.31)


def table(*lines: Line, notes: tuple[str, ...] = ()) -> Table:
    return Table("Title", "What it shows.", lines, notes)


def grid(*names: str) -> Grid:
    return Grid("Title", "", ("system", "Time Series Anomaly Detection"), tuple((name, name) for name in names))


def figures(accuracy: float) -> Figures:
    return Figures(accuracy, (accuracy, accuracy), accuracy, accuracy, accuracy)


def cells(line: str) -> list[str]:
    """The cells of one row of Markdown."""
    return [cell.strip() for cell in re.split(r"(?<!\\)(?:\\\\)*\|", line)[1:-1]]


def rows_of(page: str) -> list[str]:
    return [line for line in page.splitlines() if line.startswith("|")]


class TestTable:
    def test_figures_are_in_percent_with_two_decimals_and_the_papers_accuracy_beside(self) -> None:
        row = as_grid(table(Line("CoE", FOUND, PRINTED))).rows[0]
        assert row == ("CoE", "70.49 (68.05–72.81)", "72.29", "70.49", "71.31", "70.49", "+0.00")

    def test_where_there_is_nothing_is_a_dash(self) -> None:
        assert as_grid(table(Line("CoE", None, None))).rows[0] == ("CoE", *"––––––")

    def test_what_only_the_paper_has_is_shown_without_a_difference(self) -> None:
        assert as_grid(table(Line("CoE", None, PRINTED))).rows[0] == ("CoE", "–", "–", "–", "–", "70.49", "–")

    def test_an_accuracy_without_an_interval_stands_alone(self) -> None:
        random = Figures(0.2, None, None, None, None)
        assert as_grid(table(Line("random", random, Published(20.0)))).rows[0][1:] == (
            "20.00",
            *"–––",
            "20.00",
            "+0.00",
        )

    @pytest.mark.parametrize(
        ("found", "shown"),
        [(0.75, "+4.51"), (0.5, "−20.49"), (0.704899, "+0.00"), (0.70491, "+0.00"), (0.7048, "−0.01")],
    )
    def test_the_difference_is_signed_and_never_a_negative_zero(self, found: float, shown: str) -> None:
        assert as_grid(table(Line("CoE", figures(found), PRINTED))).rows[0][-1] == shown

    def test_the_best_accuracy_is_bold_and_a_bound_never(self) -> None:
        found = table(
            Line("a", figures(0.5), None), Line("b", figures(0.6), None), Line("o", figures(1), None, bound=True)
        )
        assert as_grid(found).strong == {(1, 1)}
        assert "| b | **60.00 (60.00–60.00)** |" in markdown(found)
        assert r"b & \textbf{60.00 (60.00--60.00)} &" in latex(found)
        assert "*" not in text(found)

    def test_equals_are_all_best(self) -> None:
        assert as_grid(table(Line("a", figures(0.5), None), Line("b", figures(0.5), None))).strong == {(0, 1), (1, 1)}

    def test_alone_nothing_is_best(self) -> None:
        assert not as_grid(table(Line("a", figures(0.5), None), Line("b", None, PRINTED))).strong

    def test_a_note_stands_once_after_the_names_that_it_is_about(self) -> None:
        missing = (Line(name, None, PRINTED, note="not run") for name in "ab")
        found = table(*missing, Line("c", FOUND, None, note="cut off"), notes=("All at once.",))
        assert as_grid(found).notes == ("All at once.", "a, b: not run", "c: cut off")
        for page in (markdown(found), latex(found), text(found)):
            assert page.index("All at once.") < page.index("a, b: not run") < page.index("c: cut off")

    def test_every_table_of_the_paper_is_made_in_a_moment(self) -> None:
        tables = [
            Table(f"Table {numeral}", "", tuple(Line(NAMES[name], FOUND, row) for name, row in printed.rows.items()))
            for numeral, printed in TABLES.items()
        ]
        start = perf_counter()
        pages = [page for each in tables for page in (markdown(each), latex(each), text(each))]
        assert perf_counter() - start < 1
        assert len(pages) == 24


class TestGrid:
    def test_a_row_has_a_cell_for_each_column(self) -> None:
        with pytest.raises(ValueError, match="2 cells for 3 columns"):
            Grid("Title", "", ("a", "b", "c"), (("1", "2"),))

    def test_its_cells_are_shown_as_they_are(self) -> None:
        pairs = Grid(
            "Pairs", "McNemar.", ("pair", "p"), (("a − b", "0.04"), ("a − c", "1")), strong=frozenset({(0, 1)})
        )
        assert markdown(pairs) == (
            "### Pairs\n\nMcNemar.\n\n| pair | p |\n| :-- | --: |\n| a − b | **0.04** |\n| a − c | 1 |\n"
        )
        assert text(pairs) == "Pairs\nMcNemar.\n\npair      p\na − b  0.04\na − c     1\n"

    def test_without_rows_it_is_a_header(self) -> None:
        empty = Grid("Title", "", ("a", "b"), ())
        assert rows_of(markdown(empty)) == ["| a | b |", "| :-- | --: |"]
        assert text(empty) == "Title\n\na  b\n"
        assert "a & b \\\\\n\\midrule\n\\bottomrule" in latex(empty)

    def test_one_column_is_enough(self) -> None:
        assert text(Grid("Title", "", ("a",), (("1",),))) == "Title\n\na\n1\n"


class TestMarkdown:
    def test_the_layout(self) -> None:
        page = markdown(table(Line("CoE", FOUND, PRINTED), notes=("A note.",)))
        assert page.startswith("### Title\n\nWhat it shows.\n\n| system | Acc % (95% CI) | Prec % |")
        assert page.endswith("| 70.49 | +0.00 |\n\n- A note.\n")

    @given(st.lists(NAME, min_size=1, max_size=4))
    def test_a_row_always_has_the_same_number_of_pipes(self, names: list[str]) -> None:
        rows = rows_of(markdown(table(*(Line(name, FOUND, None, note=name) for name in names))))
        assert len(rows) == len(names) + 2
        assert {len(cells(row)) for row in rows} == {len(COLUMNS)}

    @given(NAME)
    def test_no_name_is_html_code_or_a_line_of_its_own(self, name: str) -> None:
        row = rows_of(markdown(grid(name)))[-1]
        assert not re.search(r"[<>]|(?<!\\)(?:\\\\)*[`*_\[\]~$]", row)
        assert not re.search(r"&(?!(lt|gt|amp);)", row)
        assert len(markdown(grid(name)).splitlines()) == len(markdown(grid("x")).splitlines())

    def test_what_a_reader_sees_is_the_name(self) -> None:
        assert markdown(grid("a|b <i> `c` x_1\n问题")).endswith(r"| a\|b &lt;i&gt; \`c\` x\_1 问题 |" + "\n")


class TestLatex:
    def test_the_layout(self) -> None:
        page = latex(table(Line("CoE", FOUND, PRINTED), notes=("50 % of it.",)))
        paper = r"\shortstack[r]{paper \\ Acc \%}"
        assert page == "\n".join(
            [
                r"\begin{table}",
                r"\centering",
                r"\caption{Title. What it shows.}",
                r"\begin{tabular}{lrrrrrr}",
                r"\toprule",
                rf"system & Acc \% (95\% CI) & Prec \% & Rec \% & F1 \% & {paper} & $\Delta$ Acc \\",
                r"\midrule",
                r"CoE & 70.49 (68.05--72.81) & 72.29 & 70.49 & 71.31 & 70.49 & +0.00 \\",
                r"\bottomrule",
                r"\end{tabular}",
                r"\par{\footnotesize 50 \% of it.\par}",
                r"\end{table}",
                "",
            ]
        )

    @given(NAME)
    def test_specials_are_escaped(self, name: str) -> None:
        """With every known way to write a special taken out, none is left."""
        first, second = self.row(name)
        assert first == second
        known = r"\\[&%$#_{}]|\\text(backslash|asciitilde|asciicircum|asciigrave|less|greater|bar){}|\\symbol\{34\}"
        known += r"|\\ldots{}|\$(-|\\(Delta|pm|times|rightarrow))\$|-{}(?=-)|{[\[\]*]}"
        assert not re.search(r'[\\&%$#_{}~^`<>|"\[\]*]', re.sub(known, "", first))

    @staticmethod
    def row(name: str) -> list[str]:
        page = latex(grid(name)).splitlines()
        row = page[page.index(r"\midrule") + 1]
        assert page[page.index(r"\midrule") + 2] == r"\bottomrule"
        return re.split(r"(?<!\\) & ", row.removesuffix(r" \\"), maxsplit=1)

    @pytest.mark.parametrize(
        ("name", "written"),
        [
            ("a_b & c", r"a\_b \& c"),
            ("C:\\x", r"C:\textbackslash{}x"),
            ("--flag", "-{}-flag"),
            ("---", "-{}-{}-"),
            ("-{}", r"-\{\}"),
            ("[a]* ", "{[}a{]}{*}"),
            ("a\n\nb", "a b"),
            ("通义千问", "通义千问"),
            ("60–70 ± 1", r"60--70 $\pm$ 1"),
        ],
    )
    def test_how_a_name_is_written(self, name: str, written: str) -> None:
        assert self.row(name)[0] == written


class TestText:
    def test_columns_are_under_each_other_also_under_chinese(self) -> None:
        page = text(table(Line("通义千问", FOUND, PRINTED), Line("CoE", None, PRINTED)))
        *_, header, first, second = page.rstrip().splitlines()
        assert width(header) == width(first) == width(second)
        assert first.startswith("通义千问  70.49 (68.05–72.81)")
        assert second.startswith("CoE" + " " * 25 + "–")

    def test_what_does_not_fit_goes_below_with_the_names_again(self) -> None:
        wide = Grid("Title", "", ("system", *(f"task {n}" for n in range(30))), (("CoE", *["63.57"] * 30),))
        blocks = text(wide).split("\n\n")[1:]
        assert len(blocks) > 1
        assert all(block.startswith("system") and "\nCoE " in block for block in blocks)
        assert sum(block.count("63.57") for block in blocks) == 30

    def test_a_header_is_broken_before_its_column_gets_wide(self) -> None:
        narrow = Grid("Title", "", ("system", "Time Series Anomaly Detection"), (("CoE", "63.57"),))
        assert text(narrow).splitlines()[2:] == [
            "             Time",
            "           Series",
            "          Anomaly",
            "system  Detection",
            "CoE         63.57",
        ]

    @given(st.lists(NAME, min_size=1, max_size=4), st.lists(NAME, min_size=1, max_size=15))
    def test_no_line_is_wider_than_a_terminal(self, names: list[str], columns: list[str]) -> None:
        rows = tuple((name, *(name for _ in columns)) for name in names)
        wide = Grid(names[0], names[-1], ("system of any kind " + names[0], *columns), rows, notes=tuple(names))
        assert max(width(line) for line in text(wide).splitlines()) <= TERMINAL_WIDTH

    @given(st.lists(NAME, min_size=1, max_size=4))
    def test_nor_is_a_table_of_figures_ever_in_two_parts(self, names: list[str]) -> None:
        page = text(table(*(Line(name, FOUND, PRINTED) for name in names)))
        assert page.count("(68.05–72.81)") == len(names)
        assert page.count("Acc % (95% CI)") == 1


@given(st.text(max_size=200), st.integers(2, 40))
def test_wrapped_lines_lose_nothing_and_fit(words: str, limit: int) -> None:
    lines = wrap(words, limit)
    assert "".join(lines).replace(" ", "") == "".join(words.split())
    assert all(width(line) <= limit for line in lines)
