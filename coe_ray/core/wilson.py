"""Wilson's score interval of a share (Wilson 1927), the one interval of counts in boards, metrics and thresholds."""

import math

Z_95 = 1.959963984540054
"""The normal distribution's 97.5 % quantile."""


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """The 95 % interval of correct / total, both ends in [0, 1]; `total` is at least 1."""
    share, z2 = correct / total, Z_95**2
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    reach = Z_95 * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2)) / (1 + z2 / total)
    return middle - reach if correct else 0.0, middle + reach if correct < total else 1.0  # exact in spite of rounding
