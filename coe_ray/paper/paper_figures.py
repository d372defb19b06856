"""The figures of findings: radar charts (figs. 5 to 8, 13, 14), confusion matrices (9 to 12), what is lost where."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from coe_ray.analysis.mapping import PROTOCOLS
from coe_ray.paper.analyse import RANDOM_LABELS, Findings
from coe_ray.paper.charts import heat_map, losses_chart, radar
from coe_ray.paper.paper_tables import main_label, per_task

LOSSES = ("classification", "unknown", "mapping", "extraction")


def draw_figures(findings: Findings, folder: Path) -> list[Path]:
    """Every figure as PNG and SVG; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    return list(_drawn(findings, folder))


def _drawn(findings: Findings, folder: Path) -> Iterator[Path]:
    name, label = findings.profile, main_label(findings)
    for protocol in PROTOCOLS:
        series, file = _percent(per_task(findings, protocol)), folder / f"{name}-radar-{protocol}"
        yield from radar(f"{name}: accuracy by task, mapping {protocol}", findings.tasks, series, file)
        lost = findings.by_protocol[protocol].losses[label]
        title, file = f"{name}: lost by {label}, mapping {protocol}", folder / f"{name}-losses-{protocol}"
        yield from losses_chart(title, {each: 100 * getattr(lost, each) for each in LOSSES}, file)
    for classifier, metrics in findings.classifiers.items():
        if classifier != RANDOM_LABELS:
            confusion: Mapping[str, Any] = metrics["confusion"]  # type: ignore[assignment]
            file = folder / f"{name}-confusion-{_slug(classifier)}"
            yield from heat_map(f"{name}: {classifier}", confusion["labels"], confusion["matrix"], file)


def _percent(series: Mapping[str, Sequence[float | None]]) -> dict[str, list[float | None]]:
    return {name: [None if value is None else 100 * value for value in row] for name, row in series.items()}


def _slug(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")
