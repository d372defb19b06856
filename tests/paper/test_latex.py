"""LaTeX tables: the layout, and that no name is a command."""

import re

import pytest
from hypothesis import given

from coe_ray.analysis.tables import Table
from coe_ray.paper.latex import format_latex
from coe_ray.paper.system_table import SystemRow, system_table
from tests.paper.test_system_table import PRINTED, SCORES
from tests.support.names import NAMES


def make_table(*names: str) -> Table:
    return Table("Title", "", ("system", "Time Series Anomaly Detection"), tuple((name, name) for name in names))


def test_the_layout() -> None:
    page = format_latex(system_table("Title", "What it shows.", [SystemRow("CoE", SCORES, PRINTED)], ["50 % of it."]))
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


@given(NAMES)
def test_specials_are_escaped(name: str) -> None:
    """With every known way to write a special taken out, none is left."""
    first, second = row_of(name)
    assert first == second
    known = r"\\[&%$#_{}]|\\text(backslash|asciitilde|asciicircum|asciigrave|less|greater|bar){}|\\symbol\{34\}"
    known += r"|\\ldots{}|\$(-|\\(Delta|pm|times|rightarrow))\$|-{}(?=-)|{[\[\]*]}"
    assert not re.search(r'[\\&%$#_{}~^`<>|"\[\]*]', re.sub(known, "", first))


def row_of(name: str) -> list[str]:
    page = format_latex(make_table(name)).splitlines()
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
def test_how_a_name_is_written(name: str, written: str) -> None:
    assert row_of(name)[0] == written


def test_without_rows_it_is_a_header() -> None:
    assert "a & b \\\\\n\\midrule\n\\bottomrule" in format_latex(Table("Title", "", ("a", "b"), ()))
