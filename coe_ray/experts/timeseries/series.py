"""Reading a series out of a question's text: numbers told apart from timestamps, labels, units and prose.

Timestamps and index labels are first masked (replaced by `MASK`, same length), so that what is left between
two numbers of a list is nothing but punctuation. Numbers with only such gaps between them form a run; the longest
run is the series.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from coe_ray.experts.timeseries.numerals import GROUPED, NUMBER, Number, numbers_in, rescaled

Array: TypeAlias = NDArray[np.float64]

SHORTEST = 6
"""Fewer numbers than this in a row are no series."""
LONGEST = 4000
"""Of a longer series only the first values are looked at: a question is no data set."""

MASK = "\ufffc"
_DATE = r"\d{4}[-/.年]\d{1,2}[-/.月]\d{1,2}日?"
# Without seconds, "10:02-10:04" is a range of times and no offset from UTC.
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?(?:-\d{2}:?\d{2}\b(?!:))?)?(?:\s?[ap]m\b)?(?:Z\b|\+\d{2}:?\d{2}\b(?!:))?"
_MONTH = r"\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?"
_WEEKDAY = r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)(?:[a-z]*day)?\b|(?:周|星期)[一二三四五六日天]"
STAMP = re.compile(
    rf"(?<![\d.:第])(?:{_DATE}(?:[T\s]+{_CLOCK})?|{_CLOCK}|\d{{1,2}}月(?:\d{{1,2}}日)?|\d{{1,2}}[时点](?:\d{{1,2}}分)?"
    rf"|{_MONTH}\s+\d{{1,2}}(?=[\s,:：]+[-+\d])|{_MONTH}(?=[\s:：=])|{_WEEKDAY})(?!\d)"
)
_VALUE_AHEAD = r"(?=[-+−]?\d)"
_LABELS = (
    re.compile(rf"[A-Za-z_]{{1,12}}\s*[\[(_#]?\s*\d+\s*[\])]?\s*[:：=]\s*{_VALUE_AHEAD}"),  # x[0]=5, Day 1: 5
    re.compile(rf"\b[A-Za-z]{{1,12}}\s*=\s*\d+\s*[:：,，;\s]\s*{_VALUE_AHEAD}"),  # t=0: 5
    re.compile(rf"(?<![\d.])\d+[\"']?\s*[:：=]\s*{_VALUE_AHEAD}"),  # 0: 5
    re.compile(rf"第\s*\d+\s*(?:个?数据点|个点|个|天|小时|分钟|周|月|次|期|点|秒|年)?\s*[:：,，=]?\s*{_VALUE_AHEAD}"),
    re.compile(rf"(?i)\b(?:day|hour|week|month|minute|year|step|point|index|sample)\s*#?\d+\s+{_VALUE_AHEAD}"),
    re.compile(rf"#\d+\s+{_VALUE_AHEAD}"),
)
_TIGHT_PAIR = re.compile(r"(?<![\d.:])(\d+):(?=[-+]?\d+(?:\.\d+)?\s*(?:[,;，}\]\n]|$))")  # 0:50,1:62


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The series of a question.

    `values` has shape (n,), in `unit`, without gaps (missing values are interpolated); `labels` are the n texts
    before the values (timestamps or indices), or empty; `resolution` is the step of the last printed decimal.
    """

    values: Array
    labels: tuple[str, ...] = ()
    unit: str = ""
    resolution: float = 1.0

    @property
    def first_label(self) -> int | None:
        """The index that the text itself gives the first value, where its labels count up by one."""
        found = [re.findall(r"\d+", label) for label in self.labels]
        if not found or any(len(digits) != 1 or len(digits[0]) > 9 for digits in found):
            return None
        counted = [int(digits[0]) for digits in found]
        return counted[0] if counted == list(range(counted[0], counted[0] + len(counted))) else None


def read_series(text: str) -> Series | None:
    """The longest list of numbers in `text`, or `None` where no list has at least `SHORTEST` numbers."""
    masked, labels = _masked(text)
    best: list[Number] = []
    for run in _runs(masked):
        if sum(n.value == n.value for n in run) > sum(n.value == n.value for n in best):
            best = run
    if len(best) < SHORTEST:
        return None
    return _assembled(*_one_column(best, _labels_of(best, labels, masked), masked))


def _masked(text: str) -> tuple[str, dict[int, str]]:
    """`text` with timestamps and index labels masked, and what was masked by the position where it ended."""
    labels: dict[int, str] = {}

    def hide(found: re.Match[str]) -> str:
        labels[found.end()] = found.group().strip()
        return MASK * len(found.group())

    if _counts_up(int(digits) for digits in _TIGHT_PAIR.findall(text) if len(digits) < 9):
        text = _TIGHT_PAIR.sub(hide, text)
    for pattern in (STAMP, *_LABELS):
        text = pattern.sub(hide, text)
    return text, labels


def _counts_up(found: Iterable[int]) -> bool:
    counted = list(found)
    return len(counted) >= SHORTEST and counted == list(range(counted[0], counted[0] + len(counted)))


def _runs(masked: str) -> list[list[Number]]:
    """Runs of numbers; with thousands separators only where no comma is left to separate numbers."""
    grouped: list[list[Number]] = []
    if re.search(r"\d,\d{3}(?!\d)", masked):
        grouped = [run for run in _runs_of(masked, GROUPED) if len(run) >= SHORTEST and _is_grouped(run, masked)]
    return grouped or list(_runs_of(masked, NUMBER))


def _is_grouped(run: Sequence[Number], masked: str) -> bool:
    inside = any("," in masked[n.start : n.end] for n in run)
    return inside and not any(masked[a.end : b.start] == "," for a, b in pairwise(run))


def _runs_of(masked: str, pattern: re.Pattern[str]) -> Iterator[list[Number]]:
    numbers = numbers_in(masked, pattern)
    if not numbers:
        return
    gaps = [masked[a.end : b.start] for a, b in pairwise(numbers)]
    run = [numbers[0]]
    for i, number in enumerate(numbers[1:]):
        if not (_plain(gaps[i]) or _repeated(gaps, i)):
            yield run
            run = []
        run.append(number)
    yield run


_PUNCTUATION = re.compile(r"(?:[\s,，、;；|\[\](){}（）【】\"'→]|->|=>|\n\s*[-*•](?=\s))*")
_LABELLED = re.compile(rf"[\s,，、;；|\[\](){{}}（）【】\"'→{MASK}:：=*•>-]*")


def _plain(gap: str) -> bool:
    """Whether `gap` separates two values of a list. A bracket that only opens or closes bounds a list."""
    if not gap or len(gap) > 80:
        return False
    if MASK in gap:
        return _LABELLED.fullmatch(gap) is not None
    if not _PUNCTUATION.fullmatch(gap) or re.search(r"\n\s*\n", gap):
        return False
    opens, closes = (re.search(brackets, gap) is not None for brackets in (r"[\[({（【]", r"[\])}）】]"))
    return opens == closes


def _repeated(gaps: Sequence[str], i: int) -> bool:
    """Whether the words in gap `i` come again in the next ones: `{"t": 0, "v": 5}, {"t": 1, "v": 6}`."""
    if len(gaps[i]) > 80 or re.search(r"[。.!?！？]", gaps[i]):
        return False
    signature = _signature(gaps[i])
    return any(0 <= j < len(gaps) and _signature(gaps[j]) == signature for j in (i - 2, i - 1, i + 1, i + 2))


def _signature(gap: str) -> str:
    return re.sub(r"\s+", "", re.sub(f"{MASK}+", MASK, gap))


def _labels_of(run: Sequence[Number], labels: dict[int, str], masked: str) -> list[str]:
    """The label before each number, empty where none stands between it and the number before."""
    found = []
    for i, number in enumerate(run):
        before = masked[run[i - 1].end if i else max(0, number.start - 40) : number.start].rfind(MASK)
        start = run[i - 1].end if i else max(0, number.start - 40)
        found.append(labels.get(start + before + 1, "") if before >= 0 else "")
    return found


def _one_column(run: list[Number], labels: list[str], masked: str) -> tuple[list[Number], list[str]]:
    """The first column of values where the run is a table: equally long rows behind a label or a counter."""
    width = _width(run, labels, masked)
    if width < 2:
        return run, labels
    firsts = run[0::width]
    if any(labels[0::width][1:]) or not _even([n.value for n in firsts]):
        return firsts, labels[0::width]
    counters = [format(n.value, "g") for n in firsts]
    return run[1::width], counters


def _width(run: Sequence[Number], labels: Sequence[str], masked: str) -> int:
    """Numbers a row; 1 where the run is a plain list."""
    gaps = [masked[a.end : b.start] for a, b in pairwise(run)]
    breaks = [0] + [i + 1 for i, gap in enumerate(gaps) if "\n" in gap]
    widths = {b - a for a, b in zip(breaks, [*breaks[1:], len(run)], strict=True)}
    if len(widths) == 1 and len(breaks) >= SHORTEST:
        width = widths.pop()
        if width > 1 and (all(labels[0::width][1:]) or _even([n.value for n in run[0::width]])):
            return width
    if len(run) % 2 or len(run) < 2 * SHORTEST or any(labels):
        return 1
    firsts, seconds = [n.value for n in run[0::2]], [n.value for n in run[1::2]]
    structured = len({_signature(gap) for gap in gaps[0::2]} & {_signature(gap) for gap in gaps[1::2]}) == 0
    counting = firsts[0] in (0.0, 1.0) and firsts[1] - firsts[0] == 1.0 and not _even(seconds)
    return 2 if _even(firsts) and (structured or counting) else 1


def _even(values: Sequence[float]) -> bool:
    """Whether `values` rise by one and the same step."""
    steps = {round(b - a, 9) for a, b in pairwise(values)}
    return len(steps) == 1 and steps.pop() > 0


def _assembled(run: Sequence[Number], labels: Sequence[str]) -> Series | None:
    run, labels = run[:LONGEST], labels[:LONGEST]
    units = [n.unit for n in run if n.unit]
    base = max(sorted(set(units)), key=units.count) if units else ""
    mixed = len(set(units)) > 1 or (set(units) & {"k", "K", "万"} and len(units) < len(run))
    values = np.array([rescaled(n.value, n.unit, base) if mixed else n.value for n in run])
    known = np.isfinite(values)
    if int(known.sum()) < SHORTEST:
        return None
    at = np.arange(len(values), dtype=np.float64)
    decimals = max(-60, min(60, max(n.decimals for n in run)))
    return Series(
        np.interp(at, at[known], values[known]),
        tuple(labels) if all(labels[1:]) and any(labels) else (),
        base,
        10.0**-decimals,
    )
