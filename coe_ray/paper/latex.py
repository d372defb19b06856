"""Tables as LaTeX floats. Names may hold anything: all that LaTeX would take for a command is escaped."""

import re
from collections.abc import Sequence

from coe_ray.analysis.tables import Table, one_line, wrap_header

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


def format_latex(table: Table) -> str:
    """The table as a LaTeX float, for a document that uses booktabs (and ctex or xeCJK where a name is Chinese)."""
    rows = [list(map(_latex, row)) for row in table.rows]
    for row, column in table.strong:
        rows[row][column] = rf"\textbf{{{rows[row][column]}}}"
    caption = ". ".join(filter(None, [_latex(table.title).rstrip("."), _latex(table.caption)]))
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{caption}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
            r"\toprule",
            _latex_row([_stacked(lines) for lines in wrap_header(table)]),
            r"\midrule",
            *map(_latex_row, rows),
            r"\bottomrule",
            r"\end{tabular}",
            *(rf"\par{{\footnotesize {_latex(note)}\par}}" for note in table.notes),
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
