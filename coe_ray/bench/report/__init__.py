"""What a benchmark run found, for people: one HTML file that needs nothing else; a table for the terminal.

Both are read off `summary.json` alone, so a report can be made again, anywhere, from a run folder.

verdict.py    CoE against the best single expert: what, by how much, how sure
reading.py    the other sections: what their tables and drawings say
words.py      numbers as people write them
axes.py, labels.py, radar.py, scatter.py    the geometry of drawings; the templates draw them
page.py, templates/    the HTML; terminal.py    the table
"""

from coe_ray.bench.report.page import render_report
from coe_ray.bench.report.terminal import render_table

__all__ = ["render_report", "render_table"]
