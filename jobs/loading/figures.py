"""Figures of a load: exact percentiles of all latencies, counts of errors, the generator's own health."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from jobs.loading.plan import LoadPlan
from jobs.loading.results import LoadResult, RequestResult

PERCENTILES = (50, 90, 95, 99)
SATURATED = 0.9
"""Share of a core from which a generating process counts as what slows the load down."""
LATE_S = 0.01
"""Delay of one request in a hundred from which an open-loop generator counts as overloaded."""


def summarize_load(plan: LoadPlan, load: LoadResult) -> dict[str, Any]:
    """Everything that is reported of a load, ready for JSON. Latencies are those of good answers, in milliseconds."""
    good = [request for request in load.requests if request.ok]
    bad = [request for request in load.requests if not request.ok]
    pace = {"rate": plan.rate, "seed": plan.seed} if plan.rate is not None else {"clients": plan.clients}
    return {
        "url": plan.target.base_url,
        "model": plan.target.model,
        "loop": "closed" if plan.rate is None else "open",
        **pace,
        "stream": plan.target.stream,
        "questions": {"data": plan.questions.data, "repeat": plan.questions.repeat, "tag": plan.questions.tag},
        "seconds": round(load.seconds, 3),
        "requests": len(load.requests),
        "ok": len(good),
        "errors": {
            "total": len(bad),
            "by_status": _counted(str(request.status or "none") for request in bad),
            "by_class": _counted(request.error or "" for request in bad),
        },
        "requests_per_s": round(len(good) / load.seconds, 2) if load.seconds else 0.0,
        "latency_ms": _latencies(request.seconds for request in good),
        "first_piece_ms": _latencies(request.first_s for request in good if request.first_s is not None),
        "by_expert": _grouped(load.requests, lambda request: request.expert),
        "by_task": _grouped(load.requests, lambda request: request.task),
        "by_version": _grouped(load.requests, lambda request: request.version),
        "generator": _generator(plan, load),
    }


def percentile(seconds: Sequence[float], percent: float) -> float:
    """The least measured latency that at least `percent` % of them do not exceed (no interpolation)."""
    return float(np.percentile(seconds, percent, method="inverted_cdf"))


def _latencies(seconds: Iterable[float]) -> dict[str, float] | None:
    if not (every := list(seconds)):
        return None
    at = {f"p{percent}": percentile(every, percent) for percent in PERCENTILES} | {"max": max(every)}
    return {name: round(1000 * value, 3) for name, value in at.items()}


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())


def _grouped(requests: Sequence[RequestResult], of: Callable[[RequestResult], str | None]) -> dict[str, dict[str, Any]]:
    """Counts and latencies for each value of a header, the most frequent first; requests without one are left out."""
    values = Counter(value for request in requests if (value := of(request)) is not None)
    return {
        value: _group([request for request in requests if of(request) == value]) for value, _ in values.most_common()
    }


def _group(requests: Sequence[RequestResult]) -> dict[str, Any]:
    good = [request.seconds for request in requests if request.ok]
    return {"requests": len(requests), "ok": len(good), "latency_ms": _latencies(good)}


def _generator(plan: LoadPlan, load: LoadResult) -> dict[str, Any]:
    """`saturated`: the figures are (also) the generator's own, and more processes or another machine are due."""
    late = percentile([request.late for request in load.requests], 99) if load.requests else 0.0
    busiest = max(load.cpu_shares)
    return {
        "processes": plan.processes,
        "cpu_shares": [round(share, 3) for share in load.cpu_shares],
        "late_p99_ms": round(1000 * late, 3),
        "saturated": busiest >= SATURATED or (plan.rate is not None and late >= LATE_S),
    }
