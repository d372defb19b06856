"""Numbers and names as people write them. Accuracies come as fractions and are written in percent."""

import math
from collections.abc import Sequence
from datetime import datetime

from coe_ray.analysis.tables import NONE, format_points
from coe_ray.bench.scoring import COE


def percent(fraction: float | None) -> str:
    """One decimal, without the sign."""
    return NONE if fraction is None else f"{100 * fraction:.1f}"


def interval(ends: Sequence[float] | None) -> str:
    """Both ends in percent."""
    return NONE if ends is None else f"{percent(ends[0])}–{percent(ends[1])}"


def points(fraction: float) -> str:
    """A difference in percentage points, signed; what rounds to zero has no sign."""
    written = format_points(100 * fraction, 1)
    return "0.0" if written == "+0.0" else written


def count(number: int) -> str:
    return f"{number:,}"


def round_count(number: int) -> str:
    """The first two digits, for an estimate."""
    return count(round(number, min(0, 1 - math.floor(math.log10(max(1, number))))))


def money(amount: float | None) -> str:
    """In cents, or with three digits where it is less than one."""
    if amount is None:
        return NONE
    digits = 2 if amount >= 1 or amount <= 0 else min(8, 2 - math.floor(math.log10(amount)))
    return f"{amount:,.{digits}f}"


def p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def system_name(name: str) -> str:
    """A system's name as the report writes it."""
    return "CoE" if name == COE else name


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "。", "!", "?")) else ".")


def duration(seconds: float) -> str:
    """Seconds in the largest fitting units."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min {rest} s"


def timestamp(iso: str) -> str:
    return f"{datetime.fromisoformat(iso):%-d %B %Y, %H:%M %Z}".rstrip()
