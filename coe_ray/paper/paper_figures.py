"""Figures of a study: radar charts (figs. 5 to 8, 13, 14), confusion matrices (9 to 12), and the losses."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from coe_ray.analysis.charts import dot_chart, heat_map, losses_chart, radar_chart, save_chart
from coe_ray.analysis.mapping import PROTOCOLS
from coe_ray.paper.findings import RANDOM_LABELS, Findings
from coe_ray.paper.paper_tables import accuracy_by_task, main_label


def draw_figures(findings: Findings, folder: Path) -> list[Path]:
    """Every figure as PNG and SVG; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    return list(_draw(findings, folder))


def _draw(findings: Findings, folder: Path) -> Iterator[Path]:
    name, label, tasks = findings.profile, main_label(findings), findings.tasks
    for protocol in PROTOCOLS:
        accuracies = accuracy_by_task(findings, protocol)
        series = {key: [value and 100 * value for value in row] for key, row in accuracies.items()}
        figure = radar_chart(tasks, series) if len(tasks) > 2 else dot_chart(tasks, series)
        yield from save_chart(
            figure, f"{name}: accuracy by task, mapping {protocol}", folder / f"{name}-radar-{protocol}"
        )
        figure = losses_chart(asdict(findings.by_protocol[protocol].losses[label]))
        yield from save_chart(
            figure, f"{name}: lost by {label}, mapping {protocol}", folder / f"{name}-losses-{protocol}"
        )
    for classifier, metrics in findings.classifiers.items():
        if classifier != RANDOM_LABELS:
            confusion: Mapping[str, Any] = metrics["confusion"]  # type: ignore[assignment]
            figure = heat_map(confusion["labels"], confusion["matrix"])
            yield from save_chart(figure, f"{name}: {classifier}", folder / f"{name}-confusion-{_slug(classifier)}")


def _slug(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")
