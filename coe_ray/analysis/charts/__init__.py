"""Charts of accuracy, losses and costs, drawn with matplotlib: SVG inside the report, PNG and SVG files for the paper.

A chart function returns a `Figure`; `render_svg` and `save_chart` write it. matplotlib takes a second to import: import
this package where a chart is drawn.
"""

from coe_ray.analysis.charts.costs import CostPoint, cost_chart, pareto_front
from coe_ray.analysis.charts.heat_map import heat_map
from coe_ray.analysis.charts.output import render_svg, save_chart
from coe_ray.analysis.charts.radar import numbers_tasks, radar_chart
from coe_ray.analysis.charts.rows import dot_chart, loss_steps, losses_chart

__all__ = [
    "CostPoint",
    "cost_chart",
    "dot_chart",
    "heat_map",
    "loss_steps",
    "losses_chart",
    "numbers_tasks",
    "pareto_front",
    "radar_chart",
    "render_svg",
    "save_chart",
]
