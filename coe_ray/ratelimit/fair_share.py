"""Max-min fairness: nobody gets more than he wants, and what he leaves goes to those who want more."""

from collections.abc import Sequence


def fair_shares(total: float, wants: Sequence[float]) -> list[float]:
    """`total` shared out: no share beyond its want, and no share could grow but at the cost of a smaller one."""
    shares, left = [0.0] * len(wants), max(total, 0.0)
    smallest_first = sorted(range(len(wants)), key=wants.__getitem__)
    for rank, each in enumerate(smallest_first):
        shares[each] = min(wants[each], left / (len(wants) - rank))
        left -= shares[each]
    return shares


def whole_shares(total: int, wants: Sequence[int]) -> list[int]:
    """The same in whole numbers, for wants of at least 1. What nobody wants yet is spread evenly but for one part, left
    so that who comes next need not wait until somebody gives back.

    Where there are fewer than one each, the first in the row get one: the caller says whose turn it is by order.
    """
    if total < len(wants):
        return [int(place < total) for place in range(len(wants))]
    shares, left = [0] * len(wants), total
    smallest_first = sorted(range(len(wants)), key=wants.__getitem__)
    for rank, each in enumerate(smallest_first):
        shares[each] = min(wants[each], left // (len(wants) - rank))
        left -= shares[each]
    return [share + (left + place) // (len(wants) + 1) for place, share in enumerate(shares)]
