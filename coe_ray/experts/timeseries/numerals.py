"""Numbers as people print them: signs, decimals, thousands separators, exponents, units, missing values."""

import re
from dataclasses import dataclass

LARGEST = 1e60
"""Beyond this a number is noise in the text; squares and cubes of smaller ones stay finite."""

UNITS = (
    r"%|°C|℃|°F|µs|us|ns|ms|seconds|secs?|s|mins?|hours?|h|[KMGT]i?B(?:/s|ps)?|[kKMG]bps|bps|B|[kKMGT]|[rqRQ][pP][sS]"
    r"|reqs?/s|ops/s|/s|[kM]?W|m?V|Hz|个|次/秒|次|毫秒|秒|分钟|度|元|万|亿|条|人|台|兆"
)
_PLAIN = r"(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,3})?"
_THOUSANDS = r"\d{1,3}(?:,\d{3}){1,4}(?!,?\d)(?:\.\d+)?"


def _number(body: str) -> re.Pattern[str]:
    return re.compile(
        rf"(?<![A-Za-z0-9_.])(?P<number>[-+−]?(?:{body})|(?i:nan|null|none|n/a)\b)(?!\d)"
        rf"(?:\s?(?P<unit>{UNITS})(?![A-Za-z]))?"
    )


NUMBER = _number(_PLAIN)
GROUPED = _number(f"{_THOUSANDS}|{_PLAIN}")

_SCALES = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "毫秒": 1e-3, "s": 1.0, "秒": 1.0, "sec": 1.0, "min": 60.0}
_SCALES |= {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "万": 1e4, "亿": 1e8}
_SCALES |= {"B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 1024.0, "MiB": 1024.0**2, "GiB": 1024.0**3}
_FAMILIES = ("ns us µs ms 毫秒 s 秒 sec min", " k K M G T 万 亿", "B KB MB GB TB KiB MiB GiB")


@dataclass(frozen=True, slots=True)
class Number:
    """A number as printed at `start` to `end` (the unit within); `value` is NaN where a value is missing."""

    value: float
    unit: str
    decimals: int
    start: int
    end: int


def rescaled(value: float, unit: str, base: str) -> float:
    """`value` given in `unit`, expressed in `base`; unchanged where the two are not of one family."""
    if unit == base:
        return value
    for family in _FAMILIES:
        names = family.split(" ")
        # 900 beside 1.2k is not meant in thousands; beside 1.2 MB a bare number is left as it is.
        if unit in names and base in names:
            return value * _SCALES[unit] / _SCALES[base]
    return value


def numbers_in(text: str, pattern: re.Pattern[str] = GROUPED) -> list[Number]:
    """Every number of `text`, in order."""
    return [_read(found) for found in pattern.finditer(text)]


def _read(found: re.Match[str]) -> Number:
    printed = found["number"].replace(",", "").replace("−", "-")
    try:
        value = float(printed)
    except ValueError:  # null, none, n/a
        value = float("nan")
    if abs(value) > LARGEST:
        value = float("nan")
    mantissa, _, exponent = printed.lower().partition("e")
    decimals = len(mantissa.partition(".")[2]) - (int(exponent) if exponent.lstrip("+-").isdigit() else 0)
    return Number(value, found["unit"] or "", decimals, found.start(), found.end())
