"""The comparison's rows and figures: each row loads several servers, in rounds, and counts by its median."""

from dataclasses import dataclass
from statistics import median
from typing import Any

Round = dict[str, dict[str, Any]]
"""One round's figures by `ROW/SERVER`, and the encoder's."""

ENCODER = "encoder"
REPEATED = 64
"""Questions in rotation where they repeat."""
NAMES = {
    "ours": "coe_ray",
    "litellm": "LiteLLM",
    "portkey": "Portkey",
    "bare": "bare Ray Serve",
    "direct": "upstream itself",
}
"""The servers as the table names them."""
NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Row:
    """A load that each of `servers` gets in turn. `expert`: coe_ray's own expert is called, else `coe`."""

    name: str
    title: str
    servers: tuple[str, ...]
    clients: int
    expert: bool = False
    repeat: int | None = None


ROWS = (
    Row("expert-32", "one expert, 32 clients", tuple(NAMES), 32, expert=True),
    Row("expert-1", "one expert, 1 client", tuple(NAMES), 1, expert=True),
    Row("new-32", "`coe`, never-seen questions, 32 clients", ("ours",), 32),
    Row("repeated-32", f"`coe`, {REPEATED} questions repeated, 32 clients", ("ours",), 32, repeat=REPEATED),
    Row("new-1", "`coe`, never-seen questions, 1 client", ("ours",), 1),
)
_TITLES = {row.name: row.title for row in ROWS}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A figure of coe_ray beside its target. `met` is None where the peer was not measured."""

    what: str
    reached: str
    wanted: str
    met: bool | None


class ComparisonResult:
    """The medians of several rounds."""

    def __init__(self, rounds: list[Round]) -> None:
        self._rounds = rounds

    def measured(self, row: str, server: str) -> bool:
        """Whether every round has this load; a peer that cannot run here is in none."""
        return all(f"{row}/{server}" in each for each in self._rounds)

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
        least, new = max(self.rate("expert-32", "litellm"), 0.5 * self.encoder), self.rate("new-32")
        return [
            self._rate_verdict("expert-32", "litellm", 6),
            self._rate_verdict("expert-32", "portkey", 1.3),
            self._rate_verdict("expert-32", "bare", 0.65),
            self._latency_verdict("expert-1", "litellm", 0.5),
            self._latency_verdict("expert-1", "bare", 1.35),
            Verdict(_TITLES["new-32"], f"{new:.0f}/s", f"≥ {least:.0f}/s", new >= least),
            self._rate_verdict("repeated-32", "litellm", 4),
            Verdict("the route's overhead, p50", f"{self.overhead:.1f} ms", "≤ 20 ms", self.overhead <= 20),
        ]

    def _rate_verdict(self, row: str, server: str, least: float) -> Verdict:
        """coe_ray's rate in this row against the peer's for one expert."""
        title, wanted = _TITLES[row], f"≥ {least:g} × {NAMES[server]}'s rate"
        if not self.measured("expert-32", server):
            return Verdict(title, NOT_MEASURED, wanted, None)
        ratio = _ratio(self.rate(row), self.rate("expert-32", server))
        return Verdict(title, f"{ratio:.2f} ×", wanted, ratio >= least)

    def _latency_verdict(self, row: str, server: str, most: float) -> Verdict:
        ratio = _ratio(self.latency(row), self.latency(row, server))
        return Verdict(_TITLES[row], f"{ratio:.2f} ×", f"≤ {most:g} × {NAMES[server]}'s p50", ratio <= most)


def _saturated(results: dict[str, Any]) -> bool:
    return bool(results.get("generator", {}).get("saturated"))


def _ratio(ours: float, theirs: float) -> float:
    return ours / theirs if theirs else float("inf")


def markdown(result: ComparisonResult, about: dict[str, Any]) -> str:
    """The README's table."""
    head = f"{about['cores']} cores, upstream without delay"
    cells = [[head, *(f"{name} {about.get(server) or ''}".rstrip() for server, name in NAMES.items())]]
    cells += [["---"] * len(cells[0])]
    cells += [[row.title, *(_cell(result, row, server) for server in NAMES)] for row in ROWS]
    cells += [["encoder alone", f"{result.encoder:.0f} texts/s", *[""] * (len(NAMES) - 1)]]
    aims = [["target", "reached", "wanted", ""], ["---"] * 4]
    aims += [[each.what, each.reached, each.wanted, _MET[each.met]] for each in result.verdicts]
    portkey = "is one process" if about["portkey"] else "was not measured: it needs node and npm"
    provenance = (
        f"Medians of {about['rounds']} rounds of {about['seconds']:g} s, all in turn. LiteLLM has {about['workers']} "
        f"workers and one key, Portkey's gateway {portkey}. "
        f"Commit {about['commit']}, {about['date']}: `{about['command']}`"
    )
    return "\n\n".join([_lines(cells), _lines(aims), provenance])


_MET = {True: "met", False: "**missed**", None: "–"}


def _cell(result: ComparisonResult, row: Row, server: str) -> str:
    if server not in row.servers:
        return ""
    if not result.measured(row.name, server):
        return NOT_MEASURED
    p99 = result.latency(row.name, server, "p99")
    if row.clients == 1:
        return f"{result.latency(row.name, server):.1f} ms (p99 {p99:.1f})"
    return f"{result.rate(row.name, server):.0f}/s (p99 {p99:.0f} ms)"


def _lines(cells: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)
