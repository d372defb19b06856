"""Prometheus metrics of the endpoint, exported by every node's metrics agent beside Ray's own.

Ray puts `ray_` before a name and `_total` behind a counter's. It exports a histogram's buckets and its count, but works
its sum out from the middles of the buckets: ask for quantiles, not for `_sum / _count`.
"""

from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import quote

from ray.serve.metrics import Counter, Histogram

from coe_ray.core.errors import RateLimited
from coe_ray.serve.telemetry.request_record import RequestRecord, classified_by

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0)
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Definition:
    """Definition of a metric: with `bounds` (upper, inclusive) a histogram, without a counter."""

    name: str
    description: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...] = ()

    @property
    def series(self) -> str:
        """Its name in Prometheus."""
        return f"ray_{self.name}_bucket" if self.bounds else f"ray_{self.name}_total"


REQUESTS = Definition(
    "coe_requests",
    "Requests answered, by what was asked for (coe, expert, route, embeddings, unknown, none) and HTTP status",
    ("kind", "status"),
)
REQUEST_SECONDS = Definition(
    "coe_request_seconds", "Seconds from a request's arrival to the last byte of its answer", ("kind",), SECONDS
)
STAGE_SECONDS = Definition(
    "coe_stage_seconds",
    "Seconds of a request in each stage; a stream's expert until its first piece",
    ("stage",),
    SECONDS,
)
ROUTES = Definition(
    "coe_routes",
    "Routes by task (unknown among them), the expert they led to, and what named the task (llm, neighbours, cached, "
    "client, conversation; fallback: the neighbours, because the LLM failed)",
    ("task", "expert", "by"),
)
CONFIDENCE = Definition("coe_confidence", "Confidence of the classifications", ("by",), SHARES)
FAILOVERS = Definition(
    "coe_failovers",
    "Experts that failed, by the error's class and the expert asked next (none: there was no other)",
    ("from_expert", "to_expert", "error"),
)
ERRORS = Definition("coe_errors", "Requests that ended with an error, by its class; streams among them", ("error",))
TOKENS = Definition("coe_tokens", "Tokens that experts read (prompt) and wrote (completion)", ("expert", "direction"))
REFUSED = Definition("coe_refused", "Requests refused for a key's limits, by key and limit", ("key", "limit"))
VERSIONS = Definition("coe_versions", "Hot changes of the profile: applied (good) or turned down (bad)", ("outcome",))

DEFINITIONS = (
    REQUESTS,
    REQUEST_SECONDS,
    STAGE_SECONDS,
    ROUTES,
    CONFIDENCE,
    FAILOVERS,
    ERRORS,
    TOKENS,
    REFUSED,
    VERSIONS,
)


class Metrics:
    """Counters and histograms of one process. Ray adds the labels `application`, `deployment` and `replica`.

    Made in the replica, after Ray has started: Ray takes the labels from it then.
    """

    def __init__(self) -> None:
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        for each in DEFINITIONS:
            if each.bounds:
                self._histograms[each.name] = Histogram(each.name, each.description, list(each.bounds), each.labels)
            else:
                self._counters[each.name] = Counter(each.name, each.description, each.labels)

    def count(self, record: RequestRecord) -> None:
        """Count a finished request."""
        self._add(REQUESTS, {"kind": record.kind, "status": str(record.status)})
        self._observe(REQUEST_SECONDS, record.seconds, {"kind": record.kind})
        for stage, seconds in record.stages.items():
            self._observe(STAGE_SECONDS, seconds, {"stage": stage})
        if record.error:
            self._add(ERRORS, {"error": record.error})
        if record.status == 429 and record.error != RateLimited.__name__:  # which is the provider's
            self._add(REFUSED, {"key": record.key or "none", "limit": record.error or "none"})
        self._count_route(record)
        self._count_tokens(record)

    def count_change(self, *, good: bool) -> None:
        """Count a hot change of the profile, applied or refused."""
        self._add(VERSIONS, {"outcome": "good" if good else "bad"})

    def _count_route(self, record: RequestRecord) -> None:
        if record.route is not None:
            classification, by = record.route.classification, classified_by(record.route)
            self._add(ROUTES, {"task": classification.task, "expert": record.route.expert, "by": by})
            self._observe(CONFIDENCE, classification.confidence, {"by": by})
        experts = [attempt.expert for attempt in record.tried]
        experts.append("none" if record.expert is None or record.expert in experts else record.expert)
        for attempt, (left, next_one) in zip(record.tried, pairwise(experts), strict=True):
            self._add(FAILOVERS, {"from_expert": left, "to_expert": next_one, "error": attempt.error})

    def _count_tokens(self, record: RequestRecord) -> None:
        if record.usage is None or record.expert is None:
            return
        usage = record.usage
        for direction, tokens in ("prompt", usage.prompt_tokens), ("completion", usage.completion_tokens):
            if tokens:  # Ray's counters take no zero
                self._add(TOKENS, {"expert": record.expert, "direction": direction}, tokens)

    def _add(self, which: Definition, labels: dict[str, str], by: int = 1) -> None:
        self._counters[which.name].inc(by, _ascii(labels))

    def _observe(self, which: Definition, value: float, labels: dict[str, str]) -> None:
        self._histograms[which.name].observe(value, _ascii(labels))


def _ascii(labels: dict[str, str]) -> dict[str, str]:
    """Labels as Ray takes them; a Chinese task is encoded as in header `x-coe-task`."""
    return {name: value if value.isascii() else quote(value, safe=" /&()-") for name, value in labels.items()}
