"""Report of a benchmark run: one HTML file that needs nothing else, and a table for the terminal.

Both are made of `summary.json` alone, so a report can be made again, anywhere, from a run folder.

page.py, templates/    the HTML page; terminal.py    the table
verdict.py             CoE against the best single expert: the difference and how sure it is
sections.py, charts.py    figures and charts of the other sections; formatting.py    numbers as people write them
"""

from collections.abc import Mapping
from typing import Any

from coe_ray.bench.report.terminal import render_table

__all__ = ["render_report", "render_table"]


def render_report(summary: Mapping[str, Any]) -> str:
    """The report as one HTML document."""
    from coe_ray.bench.report.page import render_page  # it draws charts, and matplotlib takes a second

    return render_page(summary)
