"""Parser of options: points of the series by position, time or value; numbers and ranges; yes or no."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from coe_ray.experts.timeseries.numerals import numbers_in, rescaled
from coe_ray.experts.timeseries.series import STAMP, Series

_NONE = re.compile(
    r"\bno(?:ne)?\b|\bnot?\s+(?:an?\s+)?(?:anomal|outlier|abnormal)|\bnormal\b|without\s+(?:any\s+)?(?:anomal|outlier)"
    r"|没有|(?<!是)无|不存在|未发现|(?<!不)正常|都不是|均不是",
    re.IGNORECASE,
)
_YES = re.compile(r"^\W*(?:yes|true|是|有|存在|对|anomalous|abnormal|异常)(?![a-z])", re.IGNORECASE)
_NO = re.compile(r"^\W*(?:no|false|否|不是|没有|无|不存在|normal|正常)(?![a-z])", re.IGNORECASE)

_LINK = r"\s*(?:,|，|、|;|and|&|和|与|及|-|–|~|～|to|至|到|through)\s*"
_ONE = r"第?\s*#?\d+(?:st|nd|rd|th)?(?:\s*个?(?:数据)?点|个|位)?"
_LIST = rf"{_ONE}(?:{_LINK}(?:and\s+|和)?(?:index(?:es)?\s*|position\s*|point\s*)?{_ONE})*"
_PLACED = re.compile(
    rf"(?:\bind(?:ex|exes|ices)|\bidx|\bposition|\bpoint|\blocation|\bt\s*=|\bstep|#|下标|索引|位置|序号|时刻)s?"
    rf"\s*(?:is|are|at|为|是|:|：|=)?\s*[\[(（]?\s*({_LIST})|(第\s*\d+{_LIST[len(_ONE) :]})"
    rf"|(\b\d+(?:st|nd|rd|th)\b(?:{_LINK}(?:the\s+)?\d+(?:st|nd|rd|th)\b)*)",
    re.IGNORECASE,
)
_RANGE = re.compile(r"(?<![\d.])(\d+)\D{0,4}?\s*(?:-|–|~|～|\bto\b|至|到|through)\s*第?\s*#?(\d+)(?![\d.])")
_VALUE_RANGE = re.compile(r"(?<=[\d%\w])\s*(?:-|–|~|～|\bto\b|\band\b|至|到)\s*$")
_AT_LEAST = re.compile(
    r"(?:[>≥]=?|above|over|more than|greater than|at least|exceed\w*|大于|高于|超过|不低于)\s*$", re.IGNORECASE
)
_AT_MOST = re.compile(r"(?:[<≤]=?|below|under|less than|at most|小于|低于|不超过|不到)\s*$", re.IGNORECASE)


_PERIOD = re.compile(
    r"\b(?:period|cycle|season)\w*\s*(?:length)?\s*(?:of|is|=|:|about|every)?\s*(?:about\s*)?(\d{1,6}(?:\.\d{1,6})?)"
    r"|\bevery\s+(\d{1,6})|周期(?:长度)?(?:为|是|约|约为|=)?\s*(\d{1,6}(?:\.\d{1,6})?)",
    re.IGNORECASE,
)
_LAST = re.compile(r"\b(?:last|final)\b|最后一?个?", re.IGNORECASE)
_FIRST = re.compile(r"\bfirst\b|第一个|首个", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Interval:
    """An option's claim on one value: from `low` to `high`, both inclusive, equal for a plain number."""

    low: float
    high: float

    def distance(self, value: float) -> float:
        return max(self.low - value, value - self.high, 0.0)

    @property
    def middle(self) -> float:
        """The middle, or the only bound."""
        bounds = [bound for bound in (self.low, self.high) if abs(bound) < float("inf")]
        return sum(bounds) / len(bounds)


def denies_anomaly(option: str) -> bool:
    """Whether the option says that nothing is wrong with the series."""
    return _NONE.search(option) is not None


def has_positions(options: Sequence[str]) -> bool:
    """Whether an option names a position in the series, in words (`index 7`, `the 8th`, `第8个点`)."""
    return any(_PLACED.search(option) for option in options)


def parse_period(option: str) -> float | None:
    """The season's period in an option, in steps; `None` where it names none."""
    found = _PERIOD.search(option)
    return None if found is None else float(next(group for group in found.groups() if group))


def parse_yes_no(option: str) -> bool | None:
    """`True` for yes, `False` for no, `None` for neither."""
    return False if _NO.match(option) else True if _YES.match(option) else None


def parse_values(option: str, unit: str) -> list[float]:
    """The numbers of an option, in the series' unit."""
    listed = numbers_in(option)
    return [rescaled(n.value, n.unit or unit, unit) for n in listed if n.value == n.value]


def parse_intervals(option: str, unit: str) -> list[Interval]:
    """The forecast values in an option, in order: numbers, ranges (`50-60`, `50 to 60`) or bounds (`> 60`)."""
    found: list[Interval] = []
    listed = [n for n in numbers_in(option.replace("−", "-")) if n.value == n.value]
    between = option[listed[0].start : listed[1].start] if len(listed) == 2 else ""
    if between and (_VALUE_RANGE.search(between) or re.search(r"between|介于|之间", option, re.IGNORECASE)):
        low, high = sorted(rescaled(n.value, n.unit or listed[1].unit or unit, unit) for n in listed)
        return [Interval(low, high)]
    for number in listed:
        value = rescaled(number.value, number.unit or unit, unit)
        before = option[: number.start]
        low = -float("inf") if _AT_MOST.search(before) else value
        high = float("inf") if _AT_LEAST.search(before) else value
        found.append(Interval(low, high))
    return found


@dataclass(frozen=True, slots=True)
class PointNotation:
    """Notation of points in the options: by position (counted from `base`) or else by value."""

    by_position: bool
    base: int
    base_is_given: bool


def detect_notation(question: str, options: Sequence[str], series: Series) -> PointNotation:
    """Decide from the question's words, and where they are silent from what the numbers can be."""
    base, given = _base(question, options, series)
    if has_positions(options):
        return PointNotation(True, base, given)
    numbers = [value for option in options for value in parse_values(option, series.unit)]
    if not numbers:
        return PointNotation(True, base, given)
    known = {float(value) for value in series.values}
    as_values = sum(value in known for value in numbers) / len(numbers)
    n = len(series.values)
    as_places = sum(value == int(value) and base <= value <= n - 1 + base for value in numbers) / len(numbers)
    if re.search(r"\bind(?:ex|ices)|position|下标|索引|位置|序号|第几", question, re.IGNORECASE):
        as_places += 0.5
    elif re.search(r"\bvalues?\b|数值|取值|值是", question, re.IGNORECASE):
        as_values += 0.25
    return PointNotation(as_places > as_values, base, given)


def _base(question: str, options: Sequence[str], series: Series) -> tuple[int, bool]:
    """What the first point's position is called, and whether the text says so."""
    if series.first_label is not None:
        return series.first_label, True
    for base, written in enumerate((("0|zero", "[0零]"), ("1|one", "[1一]"))):
        english, chinese = written
        start = rf"(?:start|begin|count)\w*\s+(?:at|from|with)\s+(?:index\s+)?(?:{english})\b"
        pattern = rf"(?:{english})[- ](?:based|indexed)|{start}|从\s*{chinese}\s*开始"
        if re.search(pattern, question, re.IGNORECASE):
            return base, True
    every = " ".join((question, *options))
    ordinal = re.search(r"第\s*(?:\d+|几)|\b\d+(?:st|nd|rd|th)\b|position|序号|\bpoint\s*#?\d", every, re.IGNORECASE)
    return (1 if ordinal and not re.search(r"\bind(?:ex|ices)|下标|索引", every, re.IGNORECASE) else 0), False


def parse_points(option: str, notation: PointNotation, series: Series, base: int) -> list[int] | None:
    """Indices (from 0) of the points that an option names (`None`: it names none); -1 for what is no point."""
    if not re.search(r"\d", option) and (_LAST.search(option) or _FIRST.search(option)):
        return [len(series.values) - 1 if _LAST.search(option) else 0]
    stamped = _stamped(option, series)
    if stamped:
        return stamped
    if not notation.by_position:
        return _by_value(option, series)
    placed = [group for found in _PLACED.finditer(option) for group in found.groups() if group]
    text = ", ".join(placed) if placed else option
    places = [place for low, high in _spans(text) for place in range(low, min(high, low + 4000) + 1)]
    n = len(series.values)
    return [place - base if base <= place < n + base else -1 for place in places] or None


def _spans(text: str) -> list[tuple[int, int]]:
    """Ranges and single whole numbers of `text`."""
    ranges = [(int(a), int(b)) for a, b in _RANGE.findall(text) if len(a) < 9 and len(b) < 9]
    spans = [(a, b) for a, b in ranges if a < b]
    rest = _RANGE.sub(" ", text) if spans else text
    singles = re.findall(r"(?<![\d.])\d{1,8}(?!\d|\.\d)", rest)
    return spans + [(int(one), int(one)) for one in singles]


def _by_value(option: str, series: Series) -> list[int] | None:
    places: list[int] = []
    for value in parse_values(option, series.unit):
        same = [i for i, known in enumerate(series.values) if float(known) == value]
        places += same or [-1]
    return list(dict.fromkeys(places)) or None


def _stamped(option: str, series: Series) -> list[int]:
    """Points by timestamp; a range of two timestamps means all between."""
    if not any(STAMP.search(label) for label in series.labels):
        return []
    found = [match.group().strip() for match in STAMP.finditer(option)]
    places = [i for stamp in found for i, label in enumerate(series.labels) if label == stamp or label.endswith(stamp)]
    ranging = re.search(r"-|–|~|\bto\b|至|到", STAMP.sub("", option))
    if len(places) == 2 and ranging and places[0] < places[1]:
        return list(range(places[0], places[1] + 1))
    return places
