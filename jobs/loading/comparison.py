"""The comparison's rows and figures: each row loads several servers, in rounds, and counts by its median."""

from dataclasses import dataclass
from statistics import median
from typing import Any

Round = dict[str, dict[str, Any]]
"""One round's figures by `ROW/SERVER`, and the encoder's."""

ENCODER = "encoder"
REPEATED = 64
"""Questions in rotation where they repeat."""


@dataclass(frozen=True, slots=True)
class Row:
    """A load that each of `servers` gets in turn. `expert`: coe_ray's own expert is called, else `coe`."""

    name: str
    servers: tuple[str, ...]
    clients: int
    expert: bool = False
    repeat: int | None = None


ROWS = (
    Row("expert-32", ("ours", "litellm", "bare", "direct"), 32, expert=True),
    Row("expert-1", ("ours", "litellm", "bare", "direct"), 1, expert=True),
    Row("new-32", ("ours",), 32),
    Row("repeated-32", ("ours",), 32, repeat=REPEATED),
    Row("new-1", ("ours",), 1),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A figure of coe_ray beside its target."""

    what: str
    reached: str
    wanted: str
    met: bool


class ComparisonResult:
    """The medians of several rounds."""

    def __init__(self, rounds: list[Round]) -> None:
        self._rounds = rounds

    def rate(self, row: str, server: str = "ours") -> float:
        """Good answers a second."""
        return median(float(each[f"{row}/{server}"]["requests_per_s"]) for each in self._rounds)

    def latency(self, row: str, server: str = "ours", at: str = "p50") -> float:
        """Milliseconds; infinite where nothing was answered."""
        results = (each[f"{row}/{server}"]["latency_ms"] for each in self._rounds)
        return median(float(latency[at]) if latency else float("inf") for latency in results)

    @property
    def encoder(self) -> float:
        """Texts a second that the encoder alone embeds."""
        return median(float(each[ENCODER]["texts_per_s"]) for each in self._rounds)

    @property
    def overhead(self) -> float:
        """Milliseconds (p50) that the whole route takes beyond what the upstream itself does."""
        return self.latency("new-1") - self.latency("expert-1", "direct")

    @property
    def errors(self) -> dict[str, int]:
        """Errors of any server in any round; they are in no figure, and make all of them doubtful."""
        counted: dict[str, int] = {}
        for figures in self._rounds:
            for name, results in figures.items():
                if name != ENCODER and (total := results["errors"]["total"]):
                    counted[name] = counted.get(name, 0) + total
        return counted

    @property
    def saturated(self) -> list[str]:
        """Loads in which the generator itself was the limit."""
        names = {name for each in self._rounds for name, results in each.items() if _saturated(results)}
        return sorted(names)

    @property
    def verdicts(self) -> list[Verdict]:
        """The targets, met or not. A ratio to a peer that answered nothing is infinite."""
        litellm = self.rate("expert-32", "litellm")
        least = max(litellm, 0.5 * self.encoder)
        times = _ratio(self.rate("expert-32"), litellm)
        slower = _ratio(self.latency("expert-1"), self.latency("expert-1", "litellm"))
        repeated = _ratio(self.rate("repeated-32"), litellm)
        new = self.rate("new-32")
        return [
            Verdict("one expert, 32 clients", f"{times:.1f} × LiteLLM's rate", "6 ×", times >= 6),
            Verdict("one expert, 1 client", f"{slower:.2f} × LiteLLM's p50", "0.5 ×", slower <= 0.5),
            Verdict("`coe`, new questions", f"{new:.0f}/s", f"{least:.0f}/s", new >= least),
            Verdict("`coe`, repeated questions", f"{repeated:.1f} × LiteLLM's rate", "4 ×", repeated >= 4),
            Verdict("the route's overhead, p50", f"{self.overhead:.1f} ms", "20 ms", self.overhead <= 20),
        ]


def _saturated(results: dict[str, Any]) -> bool:
    return bool(results.get("generator", {}).get("saturated"))


def _ratio(ours: float, theirs: float) -> float:
    return ours / theirs if theirs else float("inf")


def markdown(result: ComparisonResult, about: dict[str, Any]) -> str:
    """The README's table."""
    head = f"{about['cores']} cores, upstream without delay"
    cells = [
        [head, "coe_ray", f"LiteLLM {about['litellm']}", "bare Ray Serve", "upstream itself"],
        ["---"] * 5,
        ["one expert, 32 clients", *_rates(result, "expert-32", ROWS[0].servers)],
        ["one expert, 1 client", *_latencies(result, "expert-1", ROWS[1].servers)],
        ["`coe`, never-seen questions, 32 clients", *_rates(result, "new-32", ("ours",)), "", "", ""],
        [f"`coe`, {REPEATED} questions repeated, 32 clients", *_rates(result, "repeated-32", ("ours",)), "", "", ""],
        ["`coe`, never-seen questions, 1 client", *_latencies(result, "new-1", ("ours",)), "", "", ""],
        ["encoder alone", f"{result.encoder:.0f} texts/s", "", "", ""],
    ]
    aims = [["target", "reached", "wanted", ""], ["---"] * 4]
    aims += [[each.what, each.reached, each.wanted, "met" if each.met else "**missed**"] for each in result.verdicts]
    provenance = (
        f"Medians of {about['rounds']} rounds of {about['seconds']:g} s, all in turn. LiteLLM with {about['workers']} "
        f"workers and one key. Commit {about['commit']}, {about['date']}: `{about['command']}`"
    )
    return "\n\n".join([_lines(cells), _lines(aims), provenance])


def _rates(result: ComparisonResult, row: str, servers: tuple[str, ...]) -> list[str]:
    return [f"{result.rate(row, each):.0f}/s (p99 {result.latency(row, each, 'p99'):.0f} ms)" for each in servers]


def _latencies(result: ComparisonResult, row: str, servers: tuple[str, ...]) -> list[str]:
    return [f"{result.latency(row, each):.1f} ms (p99 {result.latency(row, each, 'p99'):.1f})" for each in servers]


def _lines(cells: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)
