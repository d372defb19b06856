"""What is compared, and the figures of it: rows of contestants, measured in rounds, each by its median."""

from dataclasses import dataclass
from statistics import median
from typing import Any

Round = dict[str, dict[str, Any]]
"""One round's figures by `ROW/CONTESTANT`, and the encoder's."""

ENCODER = "encoder"
REPEATED = 64
"""Questions in rotation where they repeat."""


@dataclass(frozen=True, slots=True)
class Row:
    """A load that each of `who` gets in turn. `expert`: ours is asked for one expert by name, else for `coe`."""

    name: str
    who: tuple[str, ...]
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
    """A figure of ours beside what was aimed at."""

    what: str
    reached: str
    wanted: str
    met: bool


class Result:
    """The medians of several rounds."""

    def __init__(self, rounds: list[Round]) -> None:
        self._rounds = rounds

    def rate(self, row: str, who: str = "ours") -> float:
        """Good answers a second."""
        return median(float(each[f"{row}/{who}"]["requests_per_s"]) for each in self._rounds)

    def latency(self, row: str, who: str = "ours", at: str = "p50") -> float:
        """Milliseconds; infinite where nothing was answered."""
        told = (each[f"{row}/{who}"]["latency_ms"] for each in self._rounds)
        return median(float(latency[at]) if latency else float("inf") for latency in told)

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
        """Errors of any contestant in any round; they are in no figure, and make them doubtful."""
        counted: dict[str, int] = {}
        for each in self._rounds:
            for name, told in each.items():
                if name != ENCODER and (total := told["errors"]["total"]):
                    counted[name] = counted.get(name, 0) + total
        return counted

    @property
    def saturated(self) -> list[str]:
        """Where the generator itself was the limit."""
        names = {name for each in self._rounds for name, told in each.items() if _saturated(told)}
        return sorted(names)

    @property
    def verdicts(self) -> list[Verdict]:
        """Issue 4's targets. Division by what a peer did not answer at all says infinity."""
        passed_on = self.rate("expert-32", "litellm")
        least = max(passed_on, 0.5 * self.encoder)
        times = _ratio(self.rate("expert-32"), passed_on)
        slower = _ratio(self.latency("expert-1"), self.latency("expert-1", "litellm"))
        repeated = _ratio(self.rate("repeated-32"), passed_on)
        new = self.rate("new-32")
        return [
            Verdict("one expert, 32 clients", f"{times:.1f} × LiteLLM's rate", "6 ×", times >= 6),
            Verdict("one expert, 1 client", f"{slower:.2f} × LiteLLM's p50", "0.5 ×", slower <= 0.5),
            Verdict("`coe`, new questions", f"{new:.0f}/s", f"{least:.0f}/s", new >= least),
            Verdict("`coe`, repeated questions", f"{repeated:.1f} × LiteLLM's rate", "4 ×", repeated >= 4),
            Verdict("the route's overhead, p50", f"{self.overhead:.1f} ms", "20 ms", self.overhead <= 20),
        ]


def _saturated(told: dict[str, Any]) -> bool:
    return bool(told.get("generator", {}).get("saturated"))


def _ratio(ours: float, theirs: float) -> float:
    return ours / theirs if theirs else float("inf")


def markdown(result: Result, about: dict[str, Any]) -> str:
    """The README's table."""
    head = f"{about['cores']} cores, upstream without delay"
    cells = [
        [head, "coe_ray", f"LiteLLM {about['litellm']}", "bare Ray Serve", "upstream itself"],
        ["---"] * 5,
        ["one expert, 32 clients", *_rates(result, "expert-32", ROWS[0].who)],
        ["one expert, 1 client", *_latencies(result, "expert-1", ROWS[1].who)],
        ["`coe`, never-seen questions, 32 clients", *_rates(result, "new-32", ("ours",)), "", "", ""],
        [f"`coe`, {REPEATED} questions repeated, 32 clients", *_rates(result, "repeated-32", ("ours",)), "", "", ""],
        ["`coe`, never-seen questions, 1 client", *_latencies(result, "new-1", ("ours",)), "", "", ""],
        ["encoder alone", f"{result.encoder:.0f} texts/s", "", "", ""],
    ]
    aims = [["target", "reached", "wanted", ""], ["---"] * 4]
    aims += [[each.what, each.reached, each.wanted, "met" if each.met else "**missed**"] for each in result.verdicts]
    said = (
        f"Medians of {about['rounds']} rounds of {about['seconds']:g} s, all in turn. LiteLLM with {about['workers']} "
        f"workers and one key. Commit {about['commit']}, {about['date']}: `{about['command']}`"
    )
    return "\n\n".join([_lines(cells), _lines(aims), said])


def _rates(result: Result, row: str, who: tuple[str, ...]) -> list[str]:
    return [f"{result.rate(row, each):.0f}/s (p99 {result.latency(row, each, 'p99'):.0f} ms)" for each in who]


def _latencies(result: Result, row: str, who: tuple[str, ...]) -> list[str]:
    return [f"{result.latency(row, each):.1f} ms (p99 {result.latency(row, each, 'p99'):.1f})" for each in who]


def _lines(cells: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)
