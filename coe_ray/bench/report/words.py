"""Numbers as people write them. Accuracies come as fractions and are written in percent."""

import math
from collections.abc import Sequence
from datetime import datetime

from coe_ray.bench.scoring import COE

NONE = "–"


def percent(fraction: float | None) -> str:
    """One decimal, without the sign."""
    return NONE if fraction is None else f"{100 * fraction:.1f}"


def interval(ends: Sequence[float] | None) -> str:
    """Both ends in percent."""
    return NONE if ends is None else f"{percent(ends[0])}–{percent(ends[1])}"


def points(fraction: float) -> str:
    """A difference in percentage points, signed; what rounds to nothing has no sign."""
    shown = f"{100 * fraction:+.1f}"
    return "0.0" if shown in ("+0.0", "-0.0") else shown.replace("-", "−")


def count(number: int) -> str:
    return f"{number:,}"


def about(number: int) -> str:
    """Two digits of it: more would pretend to know."""
    return count(round(number, min(0, 1 - math.floor(math.log10(max(1, number))))))


def money(amount: float | None) -> str:
    """In cents, or with three digits where it is less than one."""
    if amount is None:
        return NONE
    digits = 2 if amount >= 1 or amount <= 0 else min(8, 2 - math.floor(math.log10(amount)))
    return f"{amount:,.{digits}f}"


def chance(p: float) -> str:
    """A p value."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def label(name: str) -> str:
    """A system's name as the report writes it."""
    return "CoE" if name == COE else name


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "。", "!", "?")) else ".")


def duration(seconds: float) -> str:
    """Seconds as a person would say them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min {rest} s"


def moment(iso: str) -> str:
    return f"{datetime.fromisoformat(iso):%-d %B %Y, %H:%M %Z}".rstrip()
