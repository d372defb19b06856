"""Report of a chaos test: figures for people, and what the test asserts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from jobs.loading.figures import percentile
from tests.serve.chaos.load import Fate, Outcome

WORKING = ("answered", "failed over")


@dataclass(frozen=True, slots=True)
class Disruption:
    """Something that was broken on purpose, at `at`; Serve had all replicas again at `back`. `monotonic`'s times."""

    what: str
    at: float
    back: float


@dataclass(frozen=True, slots=True)
class Report:
    title: str
    ended: Sequence[Outcome]
    disruptions: Sequence[Disruption]

    def with_fate(self, *fates: Fate) -> list[Outcome]:
        return [each for each in self.ended if each.fate in fates]

    def fates(self) -> Counter[Fate]:
        return Counter(each.fate for each in self.ended)

    def recoveries(self) -> list[float]:
        """For each disruption the seconds until all replicas were back and the last request was disturbed by it."""
        ends = [disruption.at for disruption in self.disruptions[1:]] + [float("inf")]
        return [self._recovery(disruption, end) for disruption, end in zip(self.disruptions, ends, strict=True)]

    def _recovery(self, disruption: Disruption, end: float) -> float:
        disturbed = [each.ended for each in self.ended if each.fate != "answered" and disruption.at <= each.ended < end]
        return max([disruption.back, *disturbed]) - disruption.at

    def in_flight(self, at: float) -> int:
        return sum(each.began <= at <= each.ended for each in self.ended)

    def __str__(self) -> str:
        fates, total = self.fates(), len(self.ended)
        good = [each.request.seconds for each in self.ended if each.fate in WORKING]
        share = 100 * len(good) / total
        kinds = Counter((each.request.status, each.request.error) for each in self.ended if each.request.error)
        recoveries = [
            f"{disruption.what} {s:.1f} (replicas {disruption.back - disruption.at:.1f})"
            for disruption, s in zip(self.disruptions, self.recoveries(), strict=True)
        ]
        worst = max(self.recoveries(), default=0.0)
        row = [
            self.title,
            len(self.disruptions),
            total,
            f"{share:.2f} %",
            fates["failed over"],
            fates["error object"],
            fates["error event"],
            fates["cut off"],
            fates["lost"],
            f"{1000 * percentile(good, 50):.0f} / {1000 * percentile(good, 99):.0f}",
            f"{worst:.1f}",
        ]
        return "\n".join(
            [
                "| " + " | ".join(map(str, row)) + " |",
                f"  seconds until full service: {', '.join(recoveries)}",
                f"  not answered: {dict(kinds)}",
            ]
        )
